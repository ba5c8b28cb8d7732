// SPDX-License-Identifier: GPL-2.0-only
/*
 * TLS by GnuTLS: with a key that both sides have, or with certificates that both sides check against one authority. TLS 1.3
 * only; there is no way to ask for TLS and get none.
 */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "../util.h"

#define KEY_BYTES_MAX	512

struct link_tls {
	bool server;
	gnutls_certificate_credentials_t x509;
	gnutls_psk_client_credentials_t psk_client;
	gnutls_psk_server_credentials_t psk_server;
	char user[128];
	gnutls_datum_t key;		/* in hexadecimal digits */
};

static int no(char *why, const char *path, const char *text)
{
	snprintf(why, LINK_WHY, "%.150s: %s", path, text);
	return -EINVAL;
}

static int give_key(gnutls_session_t session, const char *user, gnutls_datum_t *key)
{
	const struct link_tls *tls = gnutls_session_get_ptr(session);

	if (strcmp(user, tls->user))
		return -1;
	return gnutls_hex_decode2(&tls->key, key);
}

/* A line "USER:KEY", the key in hexadecimal digits, as psktool writes it. */
static int load_psk(struct link_tls *tls, const char *path, char *why)
{
	char line[KEY_BYTES_MAX], *colon, *end;
	FILE *file = fopen(path, "re");
	int r;

	if (!file)
		return no(why, path, strerror(errno));
	colon = fgets(line, sizeof(line), file);
	fclose(file);
	colon = colon ? strchr(line, ':') : NULL;
	if (!colon || colon == line || (size_t)(colon - line) >= sizeof(tls->user))
		return no(why, path, "it is a line \"USER:KEY\"");
	*colon++ = '\0';
	end = colon + strspn(colon, "0123456789abcdefABCDEF");
	/* Less than 128 bits are none. */
	if (*end && *end != '\n')
		return no(why, path, "the key is not in hexadecimal digits");
	if (end - colon < 32 || (end - colon) % 2)
		return no(why, path, "the key has fewer than 32 hexadecimal digits, or an odd number");
	*end = '\0';
	strcpy(tls->user, line);
	tls->key.data = (unsigned char *)strdup(colon);
	tls->key.size = (unsigned int)strlen(colon);
	if (!tls->key.data)
		return no(why, path, "there is no memory");
	if (tls->server) {
		r = gnutls_psk_allocate_server_credentials(&tls->psk_server);
		if (!r)
			gnutls_psk_set_server_credentials_function(tls->psk_server, give_key);
	} else {
		r = gnutls_psk_allocate_client_credentials(&tls->psk_client);
		if (!r)
			r = gnutls_psk_set_client_credentials(tls->psk_client, tls->user, &tls->key, GNUTLS_PSK_KEY_HEX);
	}
	memset(line, 0, sizeof(line));
	return r ? no(why, path, gnutls_strerror(r)) : 0;
}

static int load_x509(struct link_tls *tls, const char *directory, char *why)
{
	char ca[512], cert[512], key[512];
	int r;

	snprintf(ca, sizeof(ca), "%s/ca.pem", directory);
	snprintf(cert, sizeof(cert), "%s/cert.pem", directory);
	snprintf(key, sizeof(key), "%s/key.pem", directory);
	r = gnutls_certificate_allocate_credentials(&tls->x509);
	if (r)
		return no(why, directory, gnutls_strerror(r));
	r = gnutls_certificate_set_x509_trust_file(tls->x509, ca, GNUTLS_X509_FMT_PEM);
	if (r <= 0)
		return no(why, ca, r ? gnutls_strerror(r) : "there is no certificate");
	r = gnutls_certificate_set_x509_key_file(tls->x509, cert, key, GNUTLS_X509_FMT_PEM);
	return r ? no(why, cert, gnutls_strerror(r)) : 0;
}

/**
 * link_tls_load() - read credentials
 * @text: "psk:FILE" or "x509:DIRECTORY"
 * @server: for the side that is connected to
 * @out: they
 * @why: LINK_WHY bytes for a sentence
 *
 * Return: 0 or -EINVAL.
 */
int link_tls_load(const char *text, bool server, struct link_tls **out, char *why)
{
	struct link_tls *tls = calloc(1, sizeof(*tls));
	int r;

	*out = NULL;
	if (!tls)
		return no(why, text, "there is no memory");
	tls->server = server;
	if (!strncmp(text, "psk:", 4))
		r = load_psk(tls, text + 4, why);
	else if (!strncmp(text, "x509:", 5))
		r = load_x509(tls, text + 5, why);
	else
		r = no(why, text, "it is \"psk:FILE\" or \"x509:DIRECTORY\"");
	if (r) {
		link_tls_free(tls);
		return r;
	}
	*out = tls;
	return 0;
}

/**
 * link_tls_free() - forget credentials
 * @tls: they; may be NULL. No connection uses them
 */
void link_tls_free(struct link_tls *tls)
{
	if (!tls)
		return;
	if (tls->x509)
		gnutls_certificate_free_credentials(tls->x509);
	if (tls->psk_client)
		gnutls_psk_free_client_credentials(tls->psk_client);
	if (tls->psk_server)
		gnutls_psk_free_server_credentials(tls->psk_server);
	if (tls->key.data)
		memset(tls->key.data, 0, tls->key.size);
	free(tls->key.data);
	free(tls);
}

static ssize_t push(gnutls_transport_ptr_t ptr, const void *bytes, size_t len)
{
	struct link *link = ptr;
	ssize_t n = write(link->out, bytes, len);

	if (n < 0)
		gnutls_transport_set_errno(link->session, errno);
	return n;
}

static ssize_t pull(gnutls_transport_ptr_t ptr, void *bytes, size_t len)
{
	struct link *link = ptr;
	ssize_t n = read(link->in, bytes, len);

	if (n < 0)
		gnutls_transport_set_errno(link->session, errno);
	return n;
}

/* Its own would need select(); handshakes have link_wait() for their time. */
static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	struct link *link = ptr;
	struct pollfd poller = { .fd = link->in, .events = POLLIN };

	return poll(&poller, 1, (int)ms);
}

static int fails(struct link *link, const char *what, int error)
{
	unsigned int status = gnutls_session_get_verify_cert_status(link->session);
	gnutls_datum_t text = { NULL, 0 };

	if (error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
	    !gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0))
		snprintf(link->why, sizeof(link->why), "TLS: %.200s", text.data);
	else
		snprintf(link->why, sizeof(link->why), "TLS: %s: %s", what, gnutls_strerror(error));
	gnutls_free(text.data);
	return -EPROTO;
}

static int set_credentials(gnutls_session_t session, const struct link_tls *tls, const char *host)
{
	int r;

	if (tls->x509) {
		r = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->x509);
		/* Each side has to have one, of the same authority. */
		gnutls_session_set_verify_cert(session, host, 0);
		if (tls->server)
			gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
		return r;
	}
	return tls->server ? gnutls_credentials_set(session, GNUTLS_CRD_PSK, tls->psk_server) :
			     gnutls_credentials_set(session, GNUTLS_CRD_PSK, tls->psk_client);
}

/**
 * link_tls_begin() - encrypt a connection
 * @link: the connection, with @options.tls
 * @host: whose name the other side's certificate has to have; NULL: any
 *
 * Return: 0, or a negative errno with @link->why.
 */
int link_tls_begin(struct link *link, const char *host)
{
	const struct link_tls *tls = link->options.tls;
	gnutls_session_t session;
	int r;

	r = gnutls_init(&session, (tls->server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
	if (r) {
		snprintf(link->why, sizeof(link->why), "TLS: %s", gnutls_strerror(r));
		return -ENOMEM;
	}
	link->session = session;
	gnutls_session_set_ptr(session, (void *)tls);
	r = gnutls_priority_set_direct(session, tls->x509 ? "SECURE128:-VERS-ALL:+VERS-TLS1.3" :
				       "SECURE128:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK", NULL);
	if (!r)
		r = set_credentials(session, tls, tls->server ? NULL : host);
	if (r)
		return fails(link, "credentials", r);
	gnutls_transport_set_ptr(session, link);
	gnutls_transport_set_push_function(session, push);
	gnutls_transport_set_pull_function(session, pull);
	gnutls_transport_set_pull_timeout_function(session, pull_timeout);
	gnutls_handshake_set_timeout(session, 0);
	for (;;) {
		r = gnutls_handshake(session);
		if (!r)
			return 0;
		if (gnutls_error_is_fatal(r))
			return fails(link, "the handshake fails", r);
		if (r != GNUTLS_E_AGAIN && r != GNUTLS_E_INTERRUPTED)
			continue;
		if (gnutls_record_get_direction(session))
			r = link_wait(link, link->out, POLLOUT, link->options.timeout_ms);
		else
			r = link_wait(link, link->in, POLLIN, link->options.timeout_ms);
		if (r)
			return r;
	}
}

/**
 * link_tls_end() - end a session
 * @link: the connection; it may have none
 */
void link_tls_end(struct link *link)
{
	if (!link->session)
		return;
	/* One try: who does not get it sees the end of the connection, and knows by the frames what that means. */
	gnutls_bye(link->session, GNUTLS_SHUT_WR);
	gnutls_deinit(link->session);
	link->session = NULL;
}

/* As errno has it, for those who read and write files. */
static ssize_t result(struct link *link, ssize_t n)
{
	if (n >= 0)
		return n;
	if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED || !gnutls_error_is_fatal((int)n)) {
		errno = EAGAIN;
		return -1;
	}
	snprintf(link->why, sizeof(link->why), "TLS: %s", gnutls_strerror((int)n));
	errno = ECONNRESET;
	return -1;
}

/**
 * link_tls_write() - like write()
 * @link: the connection
 * @bytes: what; after EAGAIN the same again
 * @len: how much
 *
 * Return: bytes that were sent, or -1 and errno.
 */
ssize_t link_tls_write(struct link *link, const void *bytes, size_t len)
{
	return result(link, gnutls_record_send(link->session, bytes, len));
}

/**
 * link_tls_read() - like read()
 * @link: the connection
 * @bytes: where to
 * @len: how much
 *
 * Return: bytes that came, 0 at the end, or -1 and errno.
 */
ssize_t link_tls_read(struct link *link, void *bytes, size_t len)
{
	ssize_t n = gnutls_record_recv(link->session, bytes, len);

	/* Cut off, without a word: the end of a connection either way. */
	return n == GNUTLS_E_PREMATURE_TERMINATION ? 0 : result(link, n);
}

/**
 * link_tls_pending() - is there something that came and was not read?
 * @link: the connection
 *
 * Return: whether.
 */
bool link_tls_pending(const struct link *link)
{
	return gnutls_record_check_pending(link->session) > 0;
}
