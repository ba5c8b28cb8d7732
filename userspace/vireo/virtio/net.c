// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network devices (virtio 1.2, 5.1): configuration space, the control queue, and the option that makes them. The
 * frames themselves are the business of net_pair.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "net_pair.h"
#include "../option.h"
#include "../params.h"
#include "../state.h"
#include "../util.h"

#define TYPE_NET	1
#define CLASS_ETHERNET	0x020000
#define SPEED_MBIT	10000
#define MTU_MIN		68

/* virtio_net.h of Linux 6.1 has more than we offer, and not in this form. */
struct net_config {
	uint8_t mac[6];
	uint16_t status;
	uint16_t pairs_max;
	uint16_t mtu;
	uint32_t speed;
	uint8_t duplex;
} __attribute__((packed));

_Static_assert(sizeof(struct net_config) == 17, "virtio 1.2, 5.1.4");
_Static_assert(NET_QUEUES_MAX * 2 + 1 <= VIRTIO_QUEUES_MAX, "pairs and a control queue");

static struct net_device *to_net(struct virtio_device *dev)
{
	return container_of(dev, struct net_device, virtio);
}

/* --- The control queue ---------------------------------------------------------------------- */

/**
 * struct command - a command of the control queue, copied
 * @bytes: of @data
 */
struct command {
	uint8_t class, command;
	size_t bytes;
	uint8_t data[4096];
};

static void apply_filter(struct net_device *net)
{
	struct net_filter filter;

	pthread_mutex_lock(&net->lock);
	filter = net->filter;
	pthread_mutex_unlock(&net->lock);
	if (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_RX))
		filter.promisc = 1;
	if (net->backend->ops->filter)
		net->backend->ops->filter(net->backend, &filter);
}

/**
 * net_device_wants() - does the driver want to see a frame?
 * @net: the device
 * @destination: the frame's destination
 *
 * Return: whether it does.
 */
bool net_device_wants(struct net_device *net, const uint8_t *destination)
{
	bool wants;

	if (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_RX))
		return true;
	pthread_mutex_lock(&net->lock);
	wants = net_wanted(&net->filter, destination);
	pthread_mutex_unlock(&net->lock);
	return wants;
}

static bool set_rx_mode(struct net_device *net, const struct command *command)
{
	uint8_t *mode[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &net->filter.promisc,
		[VIRTIO_NET_CTRL_RX_ALLMULTI] = &net->filter.allmulti,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &net->filter.alluni,
		[VIRTIO_NET_CTRL_RX_NOMULTI] = &net->filter.nomulti,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &net->filter.nouni,
		[VIRTIO_NET_CTRL_RX_NOBCAST] = &net->filter.nobcast,
	};
	bool extra = command->command > VIRTIO_NET_CTRL_RX_ALLMULTI;

	if (!virtio_has(&net->virtio, extra ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX) ||
	    command->command >= ARRAY_SIZE(mode) || command->bytes != 1 || command->data[0] > 1)
		return false;
	pthread_mutex_lock(&net->lock);
	*mode[command->command] = command->data[0];
	pthread_mutex_unlock(&net->lock);
	return true;
}

/* Two lists, each with its length before it. What there is no room for is let through instead. */
static bool set_mac_table(struct net_device *net, const struct command *command)
{
	const uint8_t *at = command->data, *list[2];
	size_t left = command->bytes;
	struct net_filter *filter = &net->filter;
	uint32_t nr[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (left < 4)
			return false;
		nr[i] = get_le32(at);
		at += 4;
		left -= 4;
		if (nr[i] > left / 6)
			return false;
		list[i] = at;
		at += nr[i] * 6;
		left -= nr[i] * 6;
	}
	if (left)
		return false;
	pthread_mutex_lock(&net->lock);
	filter->more_uni = nr[0] > NET_FILTER_MAX;
	filter->nr_uni = filter->more_uni ? 0 : (uint16_t)nr[0];
	memcpy(filter->table, list[0], filter->nr_uni * 6U);
	filter->more_multi = nr[1] + filter->nr_uni > NET_FILTER_MAX;
	filter->nr = filter->nr_uni;
	if (!filter->more_multi) {
		memcpy(filter->table[filter->nr], list[1], nr[1] * 6);
		filter->nr += (uint16_t)nr[1];
	}
	pthread_mutex_unlock(&net->lock);
	return true;
}

static bool set_mac(struct net_device *net, const struct command *command)
{
	switch (command->command) {
	case VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_RX) && set_mac_table(net, command);
	case VIRTIO_NET_CTRL_MAC_ADDR_SET:
		if (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_MAC_ADDR) || command->bytes != 6 ||
		    command->data[0] & 1)
			return false;
		pthread_mutex_lock(&net->lock);
		memcpy(net->filter.mac, command->data, 6);
		pthread_mutex_unlock(&net->lock);
		return true;
	default:
		return false;
	}
}

/* Pairs up to @pairs are used, others rest. */
static int use_pairs(struct net_device *net, unsigned int pairs)
{
	const struct net_backend_ops *ops = net->backend->ops;
	unsigned int i;
	int r;

	for (i = 0; i < net->nr_pairs; i++) {
		struct net_pair *pair = &net->pair[i];
		bool on = i < pairs;

		if (!on)
			__atomic_store_n(&pair->active, false, __ATOMIC_RELEASE);
		r = ops->enable ? ops->enable(net->backend, i, on) : 0;
		if (r)
			return r;
		if (on)
			__atomic_store_n(&pair->active, true, __ATOMIC_RELEASE);
		net_pair_wake(pair);
	}
	return 0;
}

static bool set_pairs(struct net_device *net, const struct command *command)
{
	uint16_t pairs;

	if (!virtio_has(&net->virtio, VIRTIO_NET_F_MQ) || command->command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    command->bytes != 2)
		return false;
	pairs = get_le16(command->data);
	if (!pairs || pairs > net->nr_pairs)
		return false;
	if (use_pairs(net, pairs)) {
		use_pairs(net, net->pairs);
		return false;
	}
	pthread_mutex_lock(&net->lock);
	net->pairs = pairs;
	pthread_mutex_unlock(&net->lock);
	return true;
}

static bool announced(struct net_device *net, const struct command *command)
{
	if (!virtio_has(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE) ||
	    command->command != VIRTIO_NET_CTRL_ANNOUNCE_ACK || command->bytes)
		return false;
	pthread_mutex_lock(&net->lock);
	net->status &= (uint16_t)~VIRTIO_NET_S_ANNOUNCE;
	pthread_mutex_unlock(&net->lock);
	return true;
}

static bool obey(struct net_device *net, const struct command *command)
{
	bool good = false;

	switch (command->class) {
	case VIRTIO_NET_CTRL_RX:
		good = set_rx_mode(net, command);
		break;
	case VIRTIO_NET_CTRL_MAC:
		good = set_mac(net, command);
		break;
	case VIRTIO_NET_CTRL_MQ:
		return set_pairs(net, command);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return announced(net, command);
	}
	if (good)
		apply_filter(net);
	return good;
}

/**
 * net_control() - do what the control queue has; the thread of pair 0 calls
 * @net: the device
 * @queue: its control queue
 */
void net_control(struct net_device *net, struct virtio_queue *queue)
{
	struct iovec iov[NET_CONTROL_RING];
	struct virtq_chain chain = { .iov = iov, .room = ARRAY_SIZE(iov) };
	struct command command;
	uint8_t ack;
	int r;

	do {
		while ((r = virtio_pop(&net->virtio, queue, &chain)) > 0) {
			ack = VIRTIO_NET_ERR;
			command.bytes = chain.read_bytes < 2 ? 0 : chain.read_bytes - 2;
			if (chain.read_bytes >= 2 && command.bytes <= sizeof(command.data)) {
				iov_read(iov, chain.nr_read, 0, &command.class, 1);
				iov_read(iov, chain.nr_read, 1, &command.command, 1);
				iov_read(iov, chain.nr_read, 2, command.data, command.bytes);
				/* A command whose answer has no place is not one. */
				if (chain.write_bytes && obey(net, &command))
					ack = VIRTIO_NET_OK;
			}
			virtq_push(&queue->vq, &chain,
				   (uint32_t)iov_write(iov + chain.nr_read, chain.nr_write, 0, &ack, 1));
		}
		if (r < 0)
			return;
	} while (virtq_want_kicks(&queue->vq, true));
	virtio_pushed(&net->virtio, queue);
}

/* --- The device ----------------------------------------------------------------------------- */

/**
 * net_link_changed() - the cable was pulled, or put in
 * @net: the device
 * @up: which of both
 */
void net_link_changed(struct net_device *net, bool up)
{
	pthread_mutex_lock(&net->lock);
	if (!up)
		net->status &= (uint16_t)~VIRTIO_NET_S_LINK_UP;
	else
		net->status |= VIRTIO_NET_S_LINK_UP;
	/* Others have forgotten where the guest is. */
	if (up && virtio_has(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
		net->status |= VIRTIO_NET_S_ANNOUNCE;
	pthread_mutex_unlock(&net->lock);
	virtio_config_changed(&net->virtio);
}

static void config_read(struct virtio_device *dev)
{
	struct net_device *net = to_net(dev);
	struct net_config config = {
		.pairs_max = (uint16_t)net->nr_pairs,
		.mtu = net->backend->mtu,
		.speed = SPEED_MBIT,
		.duplex = 1,
	};

	pthread_mutex_lock(&net->lock);
	memcpy(config.mac, net->filter.mac, 6);
	config.status = net->status;
	pthread_mutex_unlock(&net->lock);
	memcpy(dev->config, &config, sizeof(config));
}

/* Whether the backend's end is there; those that have no descriptor are never down. */
static bool link_is_up(const struct net_device *net)
{
	const struct net_backend_ops *ops = net->backend->ops;

	return !ops->revive || ops->fd(net->backend, 0) >= 0;
}

/*
 * The guest is here now, and switches on the way believe that it is elsewhere: they learn from any frame that it
 * sends. This is one, a RARP request (RFC 903) as others use it for this; a driver that can does more.
 */
static void announce(struct net_device *net)
{
	struct {
		struct virtio_net_hdr_v1 header;
		uint8_t to[6], from[6];
		uint8_t fixed[10];
		uint8_t sender[6], sender_ip[4];
		uint8_t target[6], target_ip[4];
		uint8_t rest[18];
	} __attribute__((packed)) frame = {
		.to = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		/* RARP; of Ethernet, for IPv4, addresses of 6 and 4 bytes; a request */
		.fixed = { 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3 },
	};
	struct iovec iov = { &frame, sizeof(frame) };

	pthread_mutex_lock(&net->lock);
	memcpy(frame.from, net->filter.mac, 6);
	memcpy(frame.sender, net->filter.mac, 6);
	memcpy(frame.target, net->filter.mac, 6);
	if (virtio_has(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
		net->status |= VIRTIO_NET_S_ANNOUNCE;
	pthread_mutex_unlock(&net->lock);
	/* If it is lost, the guest's next frame does as well. */
	net->backend->ops->send(net->backend, 0, &iov, 1);
	virtio_config_changed(&net->virtio);
}

static void stop(struct virtio_device *dev)
{
	struct net_device *net = to_net(dev);
	unsigned int i;

	for (i = 0; i < net->nr_pairs; i++)
		net_pair_stop(&net->pair[i]);
}

static int start(struct virtio_device *dev)
{
	struct net_device *net = to_net(dev);
	bool multi = virtio_has(dev, VIRTIO_NET_F_MQ);
	struct virtio_queue *control = &dev->queue[multi ? net->nr_pairs * 2 : 2];
	unsigned int i;
	int r;

	r = net->backend->ops->start(net->backend, dev->features);
	if (r)
		return r;
	if (link_is_up(net) != !!(net->status & VIRTIO_NET_S_LINK_UP))
		net_link_changed(net, link_is_up(net));
	apply_filter(net);
	r = use_pairs(net, net->pairs);
	/* Before any pair has a thread */
	if (!r && net->arrived && link_is_up(net))
		announce(net);
	net->arrived = false;
	for (i = 0; i < net->nr_pairs && !r; i++) {
		struct net_pair *pair = &net->pair[i];

		pair->control = i == 0 && virtio_has(dev, VIRTIO_NET_F_CTRL_VQ) && control->vq.ready ? control : NULL;
		if (pair->control || (pair->rx->vq.ready && pair->tx->vq.ready))
			r = net_pair_start(pair);
	}
	if (r)
		stop(dev);
	return r;
}

static void reset(struct virtio_device *dev)
{
	struct net_device *net = to_net(dev);

	pthread_mutex_lock(&net->lock);
	memset(&net->filter, 0, sizeof(net->filter));
	net->arrived = false;
	memcpy(net->filter.mac, net->first_mac, 6);
	/* A driver that wants to see less says so. */
	net->filter.promisc = 1;
	net->status = link_is_up(net) ? VIRTIO_NET_S_LINK_UP : 0;
	net->pairs = 1;
	pthread_mutex_unlock(&net->lock);
}

static void destroy(struct virtio_device *dev)
{
	struct net_device *net = to_net(dev);
	unsigned int i;

	for (i = 0; i < net->nr_pairs; i++) {
		if (net->pair[i].wake >= 0)
			close(net->pair[i].wake);
		free(net->pair[i].linear);
	}
	if (net->backend)
		net->backend->ops->destroy(net->backend);
	pthread_mutex_destroy(&net->lock);
	free(net->pair);
	free(net);
}

static const struct state_field state_fields[] = {
	STATE_BYTES(struct net_device, filter.mac),
	STATE_FIELD(struct net_device, filter.promisc),
	STATE_FIELD(struct net_device, filter.allmulti),
	STATE_FIELD(struct net_device, filter.alluni),
	STATE_FIELD(struct net_device, filter.nomulti),
	STATE_FIELD(struct net_device, filter.nouni),
	STATE_FIELD(struct net_device, filter.nobcast),
	STATE_FIELD(struct net_device, filter.more_uni),
	STATE_FIELD(struct net_device, filter.more_multi),
	STATE_FIELD(struct net_device, filter.nr_uni),
	STATE_FIELD(struct net_device, filter.nr),
	STATE_BYTES(struct net_device, filter.table),
	STATE_FIELD(struct net_device, status),
	STATE_FIELD(struct net_device, pairs),
	STATE_END
};

static int state_check(const void *device, const void *loaded)
{
	const struct net_device *net = device, *state = loaded;
	const struct net_filter *filter = &state->filter;

	if (filter->mac[0] & 1 || filter->promisc > 1 || filter->allmulti > 1 || filter->alluni > 1 ||
	    filter->nomulti > 1 || filter->nouni > 1 || filter->nobcast > 1 || filter->more_uni > 1 ||
	    filter->more_multi > 1 || filter->nr_uni > filter->nr || filter->nr > NET_FILTER_MAX ||
	    !state->pairs || state->pairs > net->nr_pairs ||
	    state->status & ~(VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE))
		return -EINVAL;
	return 0;
}

static void state_loaded(void *device)
{
	struct net_device *net = device;

	net->arrived = true;
}

static const struct device_state net_state = {
	.version = 1,
	.bytes = sizeof(struct net_device),
	.fields = state_fields,
	.check = state_check,
	.load = state_loaded,
};

static const struct virtio_class net_class = {
	.name = "virtio-net",
	.type = TYPE_NET,
	.pci_class = CLASS_ETHERNET,
	.config_read = config_read,
	.start = start,
	.stop = stop,
	.reset = reset,
	.destroy = destroy,
	.state = &net_state,
};

/**
 * net_device_create() - a network device
 * @backend: where its frames go; it is the device's from now on, also if this fails
 * @mac: its address
 * @out: the device, not yet plugged in
 *
 * Return: 0, or a negative errno.
 */
int net_device_create(struct net_backend *backend, const uint8_t *mac, struct net_device **out)
{
	struct net_device *net = calloc(1, sizeof(*net));
	unsigned int i;
	int r = 0;

	if (!net) {
		backend->ops->destroy(backend);
		return -ENOMEM;
	}
	pthread_mutex_init(&net->lock, NULL);
	net->backend = backend;
	net->pair = calloc(backend->queues, sizeof(*net->pair));
	net->nr_pairs = net->pair ? backend->queues : 0;
	for (i = 0; i < net->nr_pairs; i++) {
		net->pair[i].net = net;
		net->pair[i].index = i;
		net->pair[i].wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (net->pair[i].wake < 0)
			r = -errno;
	}
	net->virtio.class = &net_class;
	net->virtio.config_bytes = sizeof(struct net_config);
	net->virtio.offered = NET_BIT(MAC) | NET_BIT(STATUS) | NET_BIT(MRG_RXBUF) | NET_BIT(CTRL_VQ) |
			      NET_BIT(CTRL_RX) | NET_BIT(CTRL_RX_EXTRA) | NET_BIT(CTRL_MAC_ADDR) |
			      NET_BIT(GUEST_ANNOUNCE) | NET_BIT(SPEED_DUPLEX) | backend->features |
			      (backend->mtu >= MTU_MIN ? NET_BIT(MTU) : 0) |
			      (backend->queues > 1 ? NET_BIT(MQ) : 0);
	if (!net->pair)
		r = -ENOMEM;
	if (!r)
		r = virtio_alloc_queues(&net->virtio, net->nr_pairs * 2 + 1, NET_RING);
	if (r) {
		destroy(&net->virtio);
		return r;
	}
	net->virtio.queue[net->nr_pairs * 2].size = NET_CONTROL_RING;
	for (i = 0; i < net->nr_pairs; i++) {
		net->pair[i].rx = &net->virtio.queue[i * 2];
		net->pair[i].tx = &net->virtio.queue[i * 2 + 1];
	}
	memcpy(net->first_mac, mac, 6);
	reset(&net->virtio);
	*out = net;
	return 0;
}

/* --- The option ----------------------------------------------------------------------------- */

static int choose_mac(struct params *params, uint8_t *mac)
{
	const char *text = params_string(params, "mac");

	if (text) {
		if (net_parse_mac(text, mac))
			return 0;
		report_error("net: mac: \"%s\" is not an address that a network card can have", text);
		return -EINVAL;
	}
	/* Locally administered, and one in sixteen million */
	mac[0] = 0x02;
	mac[1] = 'v';
	mac[2] = 'i';
	return getrandom(mac + 3, 3, 0) == 3 ? 0 : -EIO;
}

static int create(struct board *board, struct params *params)
{
	static int (*const make[])(struct params *params, unsigned int queues, struct net_backend **out) = {
		net_tap_create, net_user_create, net_switch_create,
	};
	static const char *const kinds[] = { "tap", "user", "switch", NULL };
	struct net_backend *backend;
	struct net_device *net;
	unsigned int kind = ARRAY_SIZE(make);
	uint64_t queues = 1;
	uint8_t mac[6];
	int r;

	r = params_choice(params, "kind", kinds, &kind);
	if (!r && kind == ARRAY_SIZE(make)) {
		report_error("net: tap, user or switch is needed first");
		r = -EINVAL;
	}
	if (!r)
		r = params_number(params, "queues", 1, NET_QUEUES_MAX, &queues);
	if (!r)
		r = choose_mac(params, mac);
	if (!r)
		r = make[kind](params, (unsigned int)queues, &backend);
	if (!r)
		r = net_device_create(backend, mac, &net);
	if (r)
		return r;
	return virtio_plug(board, &net->virtio);
}

VIREO_DEVICE_OPTION(
	.name = "net",
	.first = "kind",
	.argument = "KIND[,OPTIONS]",
	.help = "network card; all kinds: mac=ADDRESS, mtu=BYTES\n"
		"tap[,ifname=NAME][,bridge=NAME[,vlan=ID]][,queues=N][,fd=N[;N...]]\n"
		"user[,hostfwd=PROTOCOL:[ADDRESS]:PORT-[ADDRESS]:PORT[;...]]\n"
		"    [,net=NETWORK/BITS][,restrict][,loopback][,ipv6=off]\n"
		"switch,path=SOCKET[,vlan=ID] (see \"vireo switch\")",
	.multiple = true,
	.create = create,
);
