// SPDX-License-Identifier: GPL-2.0-only
/* Connections of a migration: each kind, in the clear and encrypted; silence, interruptions, the end, and nonsense. */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "../vireo/migrate/link.h"
#include "../vireo/util.h"

static char dir[] = "/tmp/vireo-link-XXXXXX";
static char path[256];
static struct link_options options = { .timeout_ms = 20000 };
static uint8_t page[WIRE_PAGE];

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void test_addresses(void)
{
	static const struct {
		const char *text, *host, *port;
	} cases[] = {
		{ "tcp:host:1234", "host", "1234" }, { "tcp:[::1]:99", "::1", "99" }, { "tcp::5", "", "5" },
		{ "tcp:host", NULL, NULL }, { "tcp:host:", NULL, NULL }, { "tcp:::1:99", NULL, NULL },
		{ "tcp:[::1:99", NULL, NULL }, { "tcp:", NULL, NULL }, { "unix:", NULL, NULL }, { "exec:", NULL, NULL },
		{ "host:1", NULL, NULL }, { "", NULL, NULL }, { "stdio:", NULL, NULL },
	};
	struct link_address address;
	char text[2000];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		is(link_address_parse(cases[i].text, &address), cases[i].host ? 0 : -EINVAL, "%s", cases[i].text);
		if (cases[i].host)
			ok(!strcmp(address.host, cases[i].host) && !strcmp(address.port, cases[i].port), "its parts");
	}
	ok(!link_address_parse("stdio", &address) && address.kind == LINK_STDIO, "stdio");
	ok(!link_address_parse("exec:a b", &address) && !strcmp(address.path, "a b"), "a command");
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "unix:/", 6);
	is(link_address_parse(text, &address), -EINVAL, "a path that is too long");
	memcpy(text, "tcp:aa", 6);
	memcpy(text + 1000, ":1", 3);
	is(link_address_parse(text, &address), -EINVAL, "a name that is too long");
	memcpy(text, "exec:a", 6);
	memset(text + 1000, 'a', 100);
	is(link_address_parse(text, &address), -EINVAL, "a command that is too long");
}

/* ---- The other side ---- */

struct peer {
	struct link_address address;
	struct link_options options;
	int listener;
	int r;
	unsigned int frames;
	pthread_t thread;
	char why[LINK_WHY];
};

/* Gives each greeting back, with a count, until the end. */
static void *serve(void *opaque)
{
	struct peer *peer = opaque;
	const uint8_t *payload;
	unsigned int type;
	struct link link;
	size_t len;

	peer->r = link_accept(&link, &peer->address, peer->listener, &peer->options);
	while (!peer->r) {
		peer->r = link_receive(&link, &type, &payload, &len);
		if (peer->r)
			break;
		peer->frames++;
		if (type == WIRE_HELLO)
			peer->r = link_send(&link, WIRE_HELLO, payload, len);
		if (type == WIRE_HELLO && !peer->r)
			peer->r = link_flush(&link);
	}
	strcpy(peer->why, link.why);
	link_close(&link);
	return NULL;
}

static void start(struct peer *peer, const char *text, const struct link_tls *tls)
{
	memset(peer, 0, sizeof(*peer));
	peer->options = options;
	peer->options.tls = tls;
	if (link_address_parse(text, &peer->address))
		abort();
	peer->listener = link_listen(&peer->address, peer->why);
	if (!ok(peer->listener >= 0, "listens at %s %s", text, peer->why))
		exit(tap_done());
	if (pthread_create(&peer->thread, NULL, serve, peer))
		abort();
}

static void finish(struct peer *peer)
{
	pthread_join(peer->thread, NULL);
	link_unlisten(&peer->address, peer->listener);
}

static bool greet(struct link *link)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = 1, .oldest = 1 };
	const uint8_t *payload;
	unsigned int type;
	size_t len;

	return !link_send(link, WIRE_HELLO, &hello, sizeof(hello)) && !link_flush(link) &&
	       !link_receive(link, &type, &payload, &len) && type == WIRE_HELLO && len == sizeof(hello) &&
	       !memcmp(payload, &hello, sizeof(hello));
}

/* Much goes one way, little comes back. */
static void carry(const char *text, const struct link_tls *near, const struct link_tls *far)
{
	struct wire_pages run = { 0, 1, 0 };
	struct link_options mine = options;
	unsigned int i, bad = 0;
	struct link link;
	struct peer peer;

	mine.tls = near;
	start(&peer, text, far);
	is(link_connect(&link, &peer.address, &mine), 0, "connects to %s %s", text, link.why);
	ok(greet(&link), "a frame goes there and back %s", link.why);
	for (i = 0; i < 1000; i++)
		bad += link_send_parts(&link, WIRE_PAGES, &run, sizeof(run), page, sizeof(page)) != 0;
	is(bad, 0, "many frames go there");
	ok(greet(&link), "in their order");
	ok(link.sent > 4096000 && link.received >= 2 * 40, "what went is counted");
	link_close(&link);
	finish(&peer);
	is(peer.frames, 1002, "all came");
	is(peer.r, -EPIPE, "and then the end");
}

static void test_tcp(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct link_address nowhere;
	struct link link;
	char text[64];

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || getsockname(fd, (struct sockaddr *)&address, &len))
		abort();
	close(fd);
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(address.sin_port));
	carry(text, NULL, NULL);
	link_address_parse(text, &nowhere);
	is(link_connect(&link, &nowhere, &options), -ECONNREFUSED, "nobody listens any more");
	ok(strstr(link.why, "refused"), "which it says: %s", link.why);
	link_close(&link);
}

static void test_exec(void)
{
	struct link_address address;
	const uint8_t *payload;
	unsigned int type;
	struct link link;
	size_t len;

	link_address_parse("exec:exec cat", &address);
	is(link_connect(&link, &address, &options), 0, "a command");
	ok(greet(&link), "is the other side");
	link_close(&link);
	link_address_parse("exec:exit 3", &address);
	is(link_connect(&link, &address, &options), 0, "a command that ends");
	is(link_receive(&link, &type, &payload, &len), -EPIPE, "is the end of the connection");
	link_close(&link);
}

static bool stop_now(void *opaque)
{
	return __atomic_load_n((bool *)opaque, __ATOMIC_RELAXED);
}

static void *stop_soon(void *opaque)
{
	usleep(100000);
	__atomic_store_n((bool *)opaque, true, __ATOMIC_RELAXED);
	return NULL;
}

static void test_silence(void)
{
	struct link_options mine = { .timeout_ms = 200 };
	struct wire_pages run = { 0, 64, 0 };
	static uint8_t pages[64 * 4096];
	struct link_address address;
	const uint8_t *payload;
	char why[LINK_WHY];
	bool over = false;
	pthread_t thread;
	unsigned int type;
	struct link link;
	int listener, r;
	size_t len;

	snprintf(path, sizeof(path), "unix:%s/silent", dir);
	link_address_parse(path, &address);
	listener = link_listen(&address, why);
	is(link_listen(&address, why), -EADDRINUSE, "an address that is in use");
	is(link_connect(&link, &address, &mine), 0, "somebody who says nothing");
	is(link_receive(&link, &type, &payload, &len), -ETIMEDOUT, "is waited for only so long");
	do {
		r = link_send_parts(&link, WIRE_PAGES, &run, sizeof(run), pages, sizeof(pages));
	} while (!r);
	is(r, -ETIMEDOUT, "so is somebody who does not read");
	link_close(&link);

	mine = (struct link_options){ .timeout_ms = 1000000, .interrupted = stop_now, .opaque = &over };
	is(link_connect(&link, &address, &mine), 0, "again");
	pthread_create(&thread, NULL, stop_soon, &over);
	is(link_receive(&link, &type, &payload, &len), -ECANCELED, "an interruption ends the wait");
	pthread_join(thread, NULL);
	over = false;
	link.rate = 1;
	pthread_create(&thread, NULL, stop_soon, &over);
	do {
		r = link_send_parts(&link, WIRE_PAGES, &run, sizeof(run), pages, sizeof(pages));
	} while (!r);
	is(r, -ECANCELED, "also that for a low rate");
	pthread_join(thread, NULL);
	link_close(&link);
	link_unlisten(&address, listener);
	ok(access(address.path, F_OK), "the socket's file is gone");
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void test_rate(void)
{
	struct wire_pages run = { 0, 1, 0 };
	uint64_t begin = now_ms();
	struct link link;
	struct peer peer;
	unsigned int i;

	snprintf(path, sizeof(path), "unix:%s/rate", dir);
	start(&peer, path, NULL);
	is(link_connect(&link, &peer.address, &options), 0, "connects");
	link.rate = 2 * MIB;
	for (i = 0; i < 256; i++)
		link_send_parts(&link, WIRE_PAGES, &run, sizeof(run), page, sizeof(page));
	link_flush(&link);
	ok(now_ms() - begin >= 400, "1 MiB at 2 MiB a second takes its time: %u ms", (unsigned int)(now_ms() - begin));
	link_close(&link);
	finish(&peer);
}

/* What comes is no frame, or one that the source must not get. */
static void test_nonsense(void)
{
	static const struct {
		struct wire_header header;
		const char *what;
	} bad[] = {
		{ { 0x4547, 0x2054, 0x482f }, "another protocol" },
		{ { WIRE_PAGES, 0, 16 + 4096 }, "pages from the destination" },
		{ { WIRE_SEEN, 0, 1U << 30 }, "a length of 1 GiB" },
	};
	struct link_address address;
	const uint8_t *payload;
	char why[LINK_WHY];
	unsigned int type, i;
	struct link link;
	int listener, fd;
	size_t len;

	snprintf(path, sizeof(path), "unix:%s/bad", dir);
	link_address_parse(path, &address);
	listener = link_listen(&address, why);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		is(link_connect(&link, &address, &options), 0, "connects");
		fd = accept(listener, NULL, NULL);
		if (write(fd, &bad[i].header, sizeof(bad[i].header)) != sizeof(bad[i].header))
			abort();
		is(link_receive(&link, &type, &payload, &len), -EPROTO, "%s is refused", bad[i].what);
		close(fd);
		link_close(&link);
	}
	link_unlisten(&address, listener);
}

/* ---- TLS ---- */

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(in_dir(name), "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		abort();
}

static struct link_tls *load(const char *name, bool server)
{
	struct link_tls *tls;
	char text[300], why[LINK_WHY];

	snprintf(text, sizeof(text), "psk:%s", in_dir(name));
	if (link_tls_load(text, server, &tls, why))
		printf("# %s\n", why);
	return tls;
}

/* Both ends must notice that it does not work. */
static void refused(const struct link_tls *near, const struct link_tls *far, const char *what)
{
	struct link_options mine = options;
	struct link link;
	struct peer peer;
	char text[300];
	int r;

	snprintf(text, sizeof(text), "unix:%s/tls", dir);
	mine.tls = near;
	mine.timeout_ms = 2000;
	start(&peer, text, far);
	r = link_connect(&link, &peer.address, &mine);
	ok(r || !greet(&link), "%s: the source is refused: %s", what, link.why);
	link_close(&link);
	finish(&peer);
	ok(peer.r && !peer.frames, "and the destination takes nothing: %s", peer.why);
}

static void test_psk(void)
{
	static const char *const bad[] = { "", "user", ":00112233445566778899aabbccddeeff", "u:0011", "u:xyz",
					   "u:00112233445566778899aabbccddeeff0" };
	struct link_tls *near, *far, *other, *stranger;
	char text[300];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		write_file("bad", bad[i]);
		ok(!load("bad", true), "no key: \"%s\"", bad[i]);
	}
	ok(!load("missing", false), "no file");
	write_file("key", "vireo:00112233445566778899aabbccddeeff\n");
	write_file("other", "vireo:00112233445566778899aabbccddee00\n");
	write_file("stranger", "someone:00112233445566778899aabbccddeeff\n");
	near = load("key", false);
	far = load("key", true);
	other = load("other", false);
	stranger = load("stranger", false);
	ok(near && far && other && stranger, "keys");
	snprintf(text, sizeof(text), "unix:%s/tls", dir);
	carry(text, near, far);
	refused(other, far, "another key");
	refused(stranger, far, "another user");
	refused(NULL, far, "no TLS");
	refused(near, NULL, "TLS with somebody who has none");
	link_tls_free(near);
	link_tls_free(far);
	link_tls_free(other);
	link_tls_free(stranger);
}

/* ---- Certificates ---- */

struct authority {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
};

static void need(int r)
{
	if (r >= 0)
		return;
	printf("# %s\n", gnutls_strerror(r));
	fflush(stdout);
	abort();
}

static void write_pem(const char *directory, const char *name, gnutls_datum_t *pem)
{
	char file[64];

	snprintf(file, sizeof(file), "%s/%s", directory, name);
	write_file(file, (const char *)pem->data);
	gnutls_free(pem->data);
}

/* @end: seconds from now */
static void make_certificate(struct authority *made, const struct authority *by, const char *name, int end)
{
	static unsigned char serial;
	bool ca = !by;

	by = by ? by : made;
	serial++;
	need(gnutls_x509_privkey_init(&made->key));
	need(gnutls_x509_privkey_generate(made->key, GNUTLS_PK_ECDSA,
						GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	need(gnutls_x509_crt_init(&made->crt));
	need(gnutls_x509_crt_set_version(made->crt, 3));
	need(gnutls_x509_crt_set_serial(made->crt, &serial, 1));
	need(gnutls_x509_crt_set_dn_by_oid(made->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned int)strlen(name)));
	need(gnutls_x509_crt_set_activation_time(made->crt, time(NULL) - 1000));
	need(gnutls_x509_crt_set_expiration_time(made->crt, time(NULL) + end));
	need(gnutls_x509_crt_set_key(made->crt, made->key));
	need(gnutls_x509_crt_set_basic_constraints(made->crt, ca, -1));
	need(gnutls_x509_crt_set_key_usage(made->crt, ca ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE));
	if (!ca)
		need(gnutls_x509_crt_set_subject_alt_name(made->crt, GNUTLS_SAN_DNSNAME, name, (unsigned int)strlen(name),
							  GNUTLS_FSAN_SET));
	need(gnutls_x509_crt_sign2(made->crt, by == made ? made->crt : by->crt, by->key, GNUTLS_DIG_SHA256, 0));
}

/* What a side has: its certificate by @by, and the authority that it believes */
static void make_side(const char *directory, const struct authority *by, const struct authority *believes, const char *name, int end)
{
	struct authority own;
	gnutls_datum_t pem;

	mkdir(in_dir(directory), 0700);
	make_certificate(&own, by, name, end);
	need(gnutls_x509_crt_export2(believes->crt, GNUTLS_X509_FMT_PEM, &pem));
	write_pem(directory, "ca.pem", &pem);
	need(gnutls_x509_crt_export2(own.crt, GNUTLS_X509_FMT_PEM, &pem));
	write_pem(directory, "cert.pem", &pem);
	need(gnutls_x509_privkey_export2(own.key, GNUTLS_X509_FMT_PEM, &pem));
	write_pem(directory, "key.pem", &pem);
	gnutls_x509_crt_deinit(own.crt);
	gnutls_x509_privkey_deinit(own.key);
}

static struct link_tls *load_side(const char *directory, bool server)
{
	struct link_tls *tls;
	char text[300], why[LINK_WHY] = "";

	snprintf(text, sizeof(text), "x509:%s", in_dir(directory));
	ok(!link_tls_load(text, server, &tls, why), "certificates of %s %s", directory, why);
	return tls;
}

/* By TCP the source wants the name that it has connected to: two destinations, one of which has it. */
static void test_names(const struct link_tls *near, const struct link_tls *named, const struct link_tls *unnamed)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct link_tls *far[] = { named, unnamed };
	struct link_options mine = options;
	socklen_t len = sizeof(address);
	struct link_address to;
	struct link link;
	struct peer peer;
	char text[64];
	unsigned int i;
	int fd;

	for (i = 0; i < 2; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		address.sin_port = 0;
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
		    getsockname(fd, (struct sockaddr *)&address, &len))
			abort();
		close(fd);
		snprintf(text, sizeof(text), "tcp:localhost:%u", ntohs(address.sin_port));
		start(&peer, text, far[i]);
		link_address_parse(text, &to);
		mine.tls = near;
		mine.timeout_ms = 2000;
		is(!link_connect(&link, &to, &mine) && greet(&link), !i, "a destination that %s the name: %s", i ? "has not" : "has",
		   link.why);
		link_close(&link);
		finish(&peer);
	}
}

static void test_x509(void)
{
	struct link_tls *near, *far, *stranger, *late, *believer, *elsewhere, *tls;
	struct authority ours, theirs;
	char text[300], why[LINK_WHY];

	make_certificate(&ours, NULL, "our authority", 1000);
	make_certificate(&theirs, NULL, "their authority", 1000);
	make_side("near", &ours, &ours, "near", 1000);
	make_side("far", &ours, &ours, "localhost", 1000);
	make_side("elsewhere", &ours, &ours, "elsewhere.example", 1000);
	make_side("foreign", &theirs, &ours, "near", 1000);
	make_side("late", &ours, &ours, "near", -10);
	make_side("believer", &ours, &theirs, "near", 1000);
	near = load_side("near", false);
	far = load_side("far", true);
	elsewhere = load_side("elsewhere", true);
	stranger = load_side("foreign", false);
	late = load_side("late", false);
	believer = load_side("believer", false);
	snprintf(text, sizeof(text), "unix:%s/tls", dir);
	carry(text, near, far);
	refused(stranger, far, "a certificate of another authority");
	refused(late, far, "one that has expired");
	refused(believer, far, "somebody who believes another authority");
	refused(NULL, far, "no TLS");
	refused(near, NULL, "certificates for somebody who has none");
	test_names(near, far, elsewhere);
	unlink(in_dir("near/key.pem"));
	snprintf(text, sizeof(text), "x509:%s", in_dir("near"));
	is(link_tls_load(text, false, &tls, why), -EINVAL, "no key: %s", why);
	write_file("near/ca.pem", "");
	is(link_tls_load(text, false, &tls, why), -EINVAL, "no authority: %s", why);
	link_tls_free(near);
	link_tls_free(far);
	link_tls_free(elsewhere);
	link_tls_free(stranger);
	link_tls_free(late);
	link_tls_free(believer);
	gnutls_x509_crt_deinit(ours.crt);
	gnutls_x509_privkey_deinit(ours.key);
	gnutls_x509_crt_deinit(theirs.crt);
	gnutls_x509_privkey_deinit(theirs.key);
}

int main(void)
{
	char command[300];

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	memset(page, 0x5a, sizeof(page));
	test_addresses();
	snprintf(command, sizeof(command), "unix:%s/socket", dir);
	carry(command, NULL, NULL);
	test_tcp();
	test_exec();
	test_silence();
	test_rate();
	test_nonsense();
	test_psk();
	test_x509();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command))
		return 1;
	return tap_done();
}
