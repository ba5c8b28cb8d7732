/* SPDX-License-Identifier: GPL-2.0-only */
/* What a network card does for a driver that has left it to others: checksums and segmentation. */
#ifndef VIREO_NET_SEGMENT_H
#define VIREO_NET_SEGMENT_H

#include "net.h"

/* All that a frame from another guest may ask for */
#define NET_PEER_ALL (NET_BIT(CSUM) | NET_BIT(HOST_TSO4) | NET_BIT(HOST_TSO6) | NET_BIT(HOST_ECN) | NET_BIT(HOST_USO))

typedef void (*net_emit)(void *opaque, const struct virtio_net_hdr_v1 *header, const uint8_t *frame, size_t bytes);

uint64_t net_peer_features(uint64_t features);
void net_segment(const struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t bytes, net_emit emit, void *opaque);

#endif /* VIREO_NET_SEGMENT_H */
