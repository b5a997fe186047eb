/* The shapes of text that configuration files hold: names, paths, addresses, URLs. Each answers whether `text` has the shape. */
#ifndef COORD_CONFIG_VALUE_H
#define COORD_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

/* a-z 0-9 and '-', beginning and ending with a letter or digit, at most 31: it stands in DNS, paths and status lines. */
bool config_value_is_name(const char *text);
bool config_value_is_path(const char *text); /* absolute, no ".." */
bool config_value_is_address(
    const char *text); /* numeric "127.0.0.1:7400" or "[::1]:7400", as it is printed back: no leading zeros */
bool config_value_is_node_address(const char *text); /* such an address, or "name:port" with a DNS name */
bool config_value_is_loopback(const char *text);     /* such an address, in 127.0.0.0/8 or ::1 */
bool config_value_is_ip(const char *text);           /* numeric, without port */
bool config_value_is_host(const char *text);         /* an IP address or a DNS name */
bool config_value_is_domain(const char *text);       /* a DNS name, final dot allowed */
bool config_value_is_url(const char *text);          /* http:// or https:// with a host */
bool config_value_is_secret(const char *text);       /* file:/absolute/path or env:NAME */
/* A libpq connection string that io/pg takes: a directory or a numeric address as host, and a user. False: `why` says what is wrong. */
bool config_value_check_conninfo(const char *text, char *why, size_t capacity_bytes);

#define CONFIG_NAME_EXPECTED "a name (a-z, 0-9 and '-', at most 31)"
#define CONFIG_PATH_EXPECTED "an absolute path"
#define CONFIG_ADDRESS_EXPECTED "a numeric address and port (127.0.0.1:7400)"
#define CONFIG_NODE_ADDRESS_EXPECTED "an address or a DNS name, and a port (127.0.0.1:7400, a1.example.org:7400)"
#define CONFIG_IP_EXPECTED "a numeric IP address"
#define CONFIG_HOST_EXPECTED "an IP address or a DNS name"
#define CONFIG_DOMAIN_EXPECTED "a DNS name"
#define CONFIG_URL_EXPECTED "a URL (http://host:port/path)"
#define CONFIG_SECRET_EXPECTED "a reference to a secret (file:/path or env:NAME), never the secret itself"

#endif
