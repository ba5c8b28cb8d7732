// SPDX-License-Identifier: GPL-2.0-only
/*
 * Between two guests frames stay as their sender has left them, large and without checksums, as long as the
 * receiver takes that. For one that does not, they are finished here. The frame is another guest's: every
 * length in it is checked.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "segment.h"

#define TCP_FIN_PSH	0x09
#define TCP_CWR		0x80

/**
 * net_peer_features() - what a driver takes from others, in the words of a sender
 * @features: that the driver has accepted
 *
 * Return: the CSUM and HOST_ features that a frame to it may make use of.
 */
uint64_t net_peer_features(uint64_t features)
{
	uint64_t takes = 0;

	if (!(features & NET_BIT(GUEST_CSUM)))
		return 0;
	takes = NET_BIT(CSUM);
	if (features & NET_BIT(GUEST_TSO4))
		takes |= NET_BIT(HOST_TSO4);
	if (features & NET_BIT(GUEST_TSO6))
		takes |= NET_BIT(HOST_TSO6);
	if (features & NET_BIT(GUEST_ECN))
		takes |= NET_BIT(HOST_ECN);
	if (features & NET_BIT(GUEST_USO4) && features & NET_BIT(GUEST_USO6))
		takes |= NET_BIT(HOST_USO);
	return takes;
}

/* Sum of big-endian words; an odd byte at the end counts as if a zero followed. */
static uint32_t sum(const uint8_t *data, size_t bytes, uint32_t start)
{
	uint64_t total = start;
	size_t i;

	for (i = 0; i + 1 < bytes; i += 2)
		total += (uint32_t)data[i] << 8 | data[i + 1];
	if (bytes & 1)
		total += (uint32_t)data[bytes - 1] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint32_t)total;
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* A sum of 0 means "none" for UDP; its other form means the same to TCP. */
static void put_checksum(uint8_t *at, uint32_t folded)
{
	uint16_t value = (uint16_t)~folded;

	put16(at, value ? value : 0xffff);
}

struct layers {
	size_t l3;		/* offset of the IP header */
	size_t l4;		/* of TCP's or UDP's */
	size_t payload;		/* of what follows it */
	bool ipv6, udp;
};

/* Where the headers are; false if they are not those that the virtio header tells of. */
static bool find_layers(const struct virtio_net_hdr_v1 *header, const uint8_t *frame, size_t bytes, struct layers *at)
{
	uint16_t type = get16(frame + 12);
	uint8_t protocol;

	at->l3 = ETH_HLEN;
	if (type == ETH_P_8021Q || type == ETH_P_8021AD) {
		if (bytes < ETH_HLEN + 4)
			return false;
		type = get16(frame + 16);
		at->l3 += 4;
	}
	at->l4 = header->csum_start;
	at->udp = (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4;
	at->ipv6 = type == ETH_P_IPV6;
	if (at->ipv6) {
		if (at->l4 < at->l3 + sizeof(struct ip6_hdr) || at->l4 > bytes)
			return false;
	} else {
		if (type != ETH_P_IP || at->l4 < at->l3 + sizeof(struct iphdr) || at->l4 > bytes ||
		    at->l4 != at->l3 + (frame[at->l3] & 15) * 4U)
			return false;
		protocol = frame[at->l3 + 9];
		if (protocol != (at->udp ? IPPROTO_UDP : IPPROTO_TCP))
			return false;
	}
	at->payload = at->l4 + sizeof(struct udphdr);
	if (!at->udp) {
		if (at->l4 + sizeof(struct tcphdr) > bytes || (frame[at->l4 + 12] >> 4) * 4U < sizeof(struct tcphdr))
			return false;
		at->payload = at->l4 + (frame[at->l4 + 12] >> 4) * 4U;
	}
	return at->payload <= bytes;
}

/* Complete the headers before a piece of @bytes payload. */
static void finish(uint8_t *head, const struct layers *at, size_t bytes, unsigned int number)
{
	size_t l4_bytes = at->payload - at->l4 + bytes;
	uint8_t *ip = head + at->l3, *l4 = head + at->l4, *check = l4 + (at->udp ? 6 : 16);
	uint32_t pseudo = (at->udp ? IPPROTO_UDP : IPPROTO_TCP) + (uint32_t)l4_bytes;

	if (at->ipv6) {
		put16(ip + 4, (unsigned int)(at->l4 - at->l3 - sizeof(struct ip6_hdr) + l4_bytes));
		pseudo = sum(ip + 8, 32, pseudo);
	} else {
		put16(ip + 2, (unsigned int)(at->l4 - at->l3 + l4_bytes));
		put16(ip + 4, get16(ip + 4) + number);
		put16(ip + 10, 0);
		put16(ip + 10, (uint16_t)~sum(ip, at->l4 - at->l3, 0));
		pseudo = sum(ip + 12, 8, pseudo);
	}
	if (at->udp)
		put16(l4 + 4, (unsigned int)l4_bytes);
	put16(check, 0);
	put_checksum(check, sum(l4, l4_bytes, pseudo));
}

static void cut(const struct virtio_net_hdr_v1 *header, const uint8_t *frame, size_t bytes, const struct layers *at,
		net_emit emit, void *opaque)
{
	static const struct virtio_net_hdr_v1 plain;
	size_t done = at->payload, part;
	uint8_t piece[NET_FRAME_MAX];
	unsigned int number = 0;
	uint32_t sequence;

	memcpy(&sequence, frame + at->l4 + 4, sizeof(sequence));
	for (; done < bytes; done += part, number++) {
		uint8_t *l4 = piece + at->l4;

		part = bytes - done < header->gso_size ? bytes - done : header->gso_size;
		memcpy(piece, frame, at->payload);
		memcpy(piece + at->payload, frame + done, part);
		if (!at->udp) {
			uint32_t here = htonl(ntohl(sequence) + (uint32_t)(done - at->payload));

			memcpy(l4 + 4, &here, sizeof(here));
			if (done + part < bytes)
				l4[13] &= (uint8_t)~TCP_FIN_PSH;
			if (number)
				l4[13] &= (uint8_t)~TCP_CWR;
		}
		finish(piece, at, part, number);
		emit(opaque, &plain, piece, at->payload + part);
	}
}

/**
 * net_segment() - finish a frame
 * @header: what there is left to do; net_header_valid() has agreed to it
 * @frame: the frame; it is changed
 * @bytes: its length
 * @emit: gets each of the finished frames; they need nothing more
 * @opaque: handed to @emit
 *
 * A frame that is not what its header tells is dropped.
 */
void net_segment(const struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t bytes, net_emit emit, void *opaque)
{
	static const struct virtio_net_hdr_v1 plain;
	struct layers at;

	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (find_layers(header, frame, bytes, &at))
			cut(header, frame, bytes, &at, emit, opaque);
		return;
	}
	/* The sum of the pseudo header stands where the checksum shall be. */
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		put_checksum(frame + header->csum_start + header->csum_offset,
			     sum(frame + header->csum_start, bytes - header->csum_start, 0));
	emit(opaque, &plain, frame, bytes);
}
