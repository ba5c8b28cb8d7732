// SPDX-License-Identifier: GPL-2.0-only
/* What may stand before a frame, which frames a driver wants, and Ethernet addresses as text. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

_Static_assert(sizeof(struct virtio_net_hdr_v1) == NET_HEADER_BYTES, "virtio 1.2, 5.1.6");

/**
 * net_header_valid() - may this header go to the other side?
 * @header: a copy of it
 * @frame_bytes: length of the frame
 * @features: accepted by the driver, as HOST_ and CSUM bits: what a sender may ask for
 *
 * Return: whether it asks for what was agreed on, within the frame.
 */
bool net_header_valid(const struct virtio_net_hdr_v1 *header, size_t frame_bytes, uint64_t features)
{
	uint64_t needed;

	if (frame_bytes < NET_ETH_BYTES || frame_bytes > NET_FRAME_MAX)
		return false;
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!(features & NET_BIT(CSUM)) ||
		    (size_t)header->csum_start + header->csum_offset + 2 > frame_bytes)
			return false;
	}
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return header->gso_type == VIRTIO_NET_HDR_GSO_NONE;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		needed = NET_BIT(HOST_TSO4);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		needed = NET_BIT(HOST_TSO6);
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		needed = NET_BIT(HOST_USO);
		break;
	default:
		return false;
	}
	if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needed |= NET_BIT(HOST_ECN);
	/* Who cuts it to pieces has to make checksums for them. */
	return (features & needed) == needed && header->gso_size && header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	       header->hdr_len <= frame_bytes;
}

/**
 * net_wanted() - does a driver want to see a frame?
 * @filter: what it has said
 * @destination: the frame's first six bytes
 *
 * Return: whether it does.
 */
bool net_wanted(const struct net_filter *filter, const uint8_t *destination)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	unsigned int i, end;

	if (filter->promisc)
		return true;
	if (destination[0] & 1) {
		if (!memcmp(destination, broadcast, 6))
			return !filter->nobcast;
		if (filter->nomulti)
			return false;
		if (filter->allmulti || filter->more_multi)
			return true;
		i = filter->nr_uni;
		end = filter->nr;
	} else {
		if (filter->nouni)
			return false;
		if (filter->alluni || filter->more_uni || !memcmp(destination, filter->mac, 6))
			return true;
		i = 0;
		end = filter->nr_uni;
	}
	for (; i < end; i++) {
		if (!memcmp(destination, filter->table[i], 6))
			return true;
	}
	return false;
}

/**
 * net_parse_mac() - the address of a network card
 * @text: six pairs of hexadecimal digits with colons between
 * @mac: the result; nothing is written if it is none
 *
 * Return: whether it is one that a card can have: no multicast, not zero.
 */
bool net_parse_mac(const char *text, uint8_t *mac)
{
	uint8_t out[6];
	unsigned int i, any = 0;

	for (i = 0; i < 6; i++, text += 3) {
		char digits[3] = { text[0], text[0] ? text[1] : 0, 0 };

		if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]) ||
		    text[2] != (i < 5 ? ':' : 0))
			return false;
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
		any |= out[i];
	}
	if (!any || out[0] & 1)
		return false;
	memcpy(mac, out, 6);
	return true;
}
