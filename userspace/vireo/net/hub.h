/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A switch between VMs: launchers connect to its UNIX socket (SOCK_SEQPACKET) and send and receive one
 * message for each frame: the header of virtio-net, 12 bytes, then the frame.
 *
 * The first message of each side is a greeting. After that nothing but frames; what is too short or
 * too long for one is dropped.
 */
#ifndef VIREO_NET_HUB_H
#define VIREO_NET_HUB_H

#include <stdbool.h>
#include <stdint.h>

#define HUB_MAGIC	0x57535656U	/* "VVSW" */
#define HUB_VERSION	1
#define HUB_VLAN_MAX	4094
#define HUB_PORTS_MAX	1024
#define HUB_MACS	4096		/* addresses that it knows at the most */
#define HUB_MACS_PORT	256		/* ... behind one port */
#define HUB_BACKLOG	(1U << 20)	/* bytes that wait for one port */
#define HUB_AGE_S	300		/* an address that was not heard for so long is forgotten */

/**
 * struct hub_greeting - first message, to the switch and back
 * @magic: HUB_MAGIC
 * @version: HUB_VERSION
 * @vlan: to the switch: which of its networks, 0 to HUB_VLAN_MAX. Back: the same
 * @error: to the switch: 0. Back: 0, or an errno: the port is refused, and closed
 */
struct hub_greeting {
	uint32_t magic;
	uint16_t version;
	uint16_t vlan;
	uint32_t error;
};

struct hub;

int hub_create(const char *path, unsigned int mode, unsigned int ports, struct hub **out);
int hub_run(struct hub *hub, int until);
void hub_destroy(struct hub *hub);

#endif /* VIREO_NET_HUB_H */
