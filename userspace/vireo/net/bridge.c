// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network interfaces and bridges of the host: what "ip link" and "bridge vlan" do, by the kernel's own calls.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if_bridge.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#include "net.h"

/* Interface requests go to any socket. */
static int request(unsigned long what, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = ioctl(fd, what, ifr) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static void name_it(struct ifreq *ifr, const char *name)
{
	memset(ifr, 0, sizeof(*ifr));
	strncpy(ifr->ifr_name, name, IFNAMSIZ - 1);
}

/**
 * net_if_index() - the kernel's number of an interface
 * @name: the interface
 * @index: the number
 *
 * Return: 0, -ENODEV if there is none, or another negative errno.
 */
int net_if_index(const char *name, int *index)
{
	struct ifreq ifr;
	int r;

	name_it(&ifr, name);
	r = request(SIOCGIFINDEX, &ifr);
	if (!r)
		*index = ifr.ifr_ifindex;
	return r;
}

/**
 * net_if_up() - bring an interface up
 * @name: the interface
 *
 * Return: 0, also if it is up; or a negative errno.
 */
int net_if_up(const char *name)
{
	struct ifreq ifr;
	int r;

	name_it(&ifr, name);
	r = request(SIOCGIFFLAGS, &ifr);
	if (r || ifr.ifr_flags & IFF_UP)
		return r;
	ifr.ifr_flags |= IFF_UP;
	return request(SIOCSIFFLAGS, &ifr);
}

/**
 * net_if_mtu() - read an interface's MTU
 * @name: the interface
 * @mtu: the result
 *
 * Return: 0, or a negative errno.
 */
int net_if_mtu(const char *name, unsigned int *mtu)
{
	struct ifreq ifr;
	int r;

	name_it(&ifr, name);
	r = request(SIOCGIFMTU, &ifr);
	if (!r)
		*mtu = (unsigned int)ifr.ifr_mtu;
	return r;
}

/**
 * net_if_set_mtu() - set an interface's MTU
 * @name: the interface
 * @mtu: what it shall be
 *
 * Return: 0, or a negative errno.
 */
int net_if_set_mtu(const char *name, unsigned int mtu)
{
	struct ifreq ifr;

	name_it(&ifr, name);
	ifr.ifr_mtu = (int)mtu;
	return request(SIOCSIFMTU, &ifr);
}

/**
 * net_bridge_add() - make an interface a port of a bridge
 * @bridge: the bridge
 * @port: the interface
 *
 * Return: 0; -EBUSY: it is a port already; -EOPNOTSUPP: @bridge is no bridge; or another negative errno.
 */
int net_bridge_add(const char *bridge, const char *port)
{
	struct ifreq ifr;
	int index, r;

	r = net_if_index(port, &index);
	if (r)
		return r;
	name_it(&ifr, bridge);
	ifr.ifr_ifindex = index;
	return request(SIOCBRADDIF, &ifr);
}

struct vlan_request {
	struct nlmsghdr header;
	struct ifinfomsg link;
	struct rtattr spec;
	struct rtattr vlan;
	struct bridge_vlan_info info;
};

_Static_assert(sizeof(struct vlan_request) == 44, "attributes follow one another without a gap");

static int vlan_change(int fd, uint16_t type, int index, uint16_t flags, uint16_t vlan)
{
	struct vlan_request change = {
		.header = { .nlmsg_len = sizeof(change), .nlmsg_type = type,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.link = { .ifi_family = AF_BRIDGE, .ifi_index = index },
		.spec = { sizeof(change.spec) + sizeof(change.vlan) + sizeof(change.info),
			  IFLA_AF_SPEC | NLA_F_NESTED },
		.vlan = { sizeof(change.vlan) + sizeof(change.info), IFLA_BRIDGE_VLAN_INFO },
		.info = { .flags = flags, .vid = vlan },
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[512];
	} answer;
	ssize_t n;

	if (send(fd, &change, sizeof(change), 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(answer.header) + sizeof(answer.error) || answer.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.error.error;
}

/**
 * net_bridge_vlan() - make a port of a bridge an access port of a VLAN
 * @port: the port
 * @vlan: the VLAN: untagged frames from the port belong to it, frames to the port lose its tag
 *
 * The port leaves VLAN 1, where a bridge puts new ports. None of it has an effect before the bridge's
 * vlan_filtering is on.
 *
 * Return: 0, or a negative errno.
 */
int net_bridge_vlan(const char *port, uint16_t vlan)
{
	int fd, index, r;

	r = net_if_index(port, &index);
	if (r)
		return r;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	r = vlan_change(fd, RTM_SETLINK, index, BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED, vlan);
	if (!r && vlan != 1) {
		r = vlan_change(fd, RTM_DELLINK, index, 0, 1);
		/* It was not in there: somebody has set the bridge's default_pvid to something else. */
		if (r == -ENOENT)
			r = 0;
	}
	close(fd);
	return r;
}
