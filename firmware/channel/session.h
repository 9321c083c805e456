/*
 * Authorisation of state changes: one authenticated session at a time, its key, and freshness.
 *
 * Session key = BLAKE2b-256(key = channel key; host nonce | board nonce | epoch). A session's requests carry its
 * number, a MAC, and a sequence that was not used before in this session.
 */
#ifndef ASSAY_CHANNEL_SESSION_H
#define ASSAY_CHANNEL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "channel/frames.h"

/* Boot, once. */
void session_init(void);

/*
 * Makes a new board nonce for a HELLO and returns it (ASSAY_NONCE_SIZE bytes). It serves one OPEN.
 *
 * The nonce is BLAKE2b over the channel key, the host's nonce, a counter and CNTVCT: no board here has a random
 * number generator, and under -icount CNTVCT repeats too. So freshness across a reboot rests on the host's nonce:
 * who recorded a session could replay it whole, from its HELLO on, to a rebooted board.
 */
const uint8_t *session_make_nonce(const uint8_t *host_nonce);

uint32_t session_epoch(void);

/* Opens a session, ending the one before. Returns its number, or 0 and the reason in *status. */
uint32_t session_open(const struct assay_open_request *request, uint32_t sequence, uint16_t *status);

/* Whether a frame's MAC is the open session's, and its session number too. ASSAY_STATUS_OK, NO_SESSION or BAD_MAC. */
uint16_t session_check(const struct frame *frame);

/*
 * Takes a sequence of the open session: false when it is used or too old. Sequences must rise; `reorder` allows one
 * that a later one of the last 64 has overtaken (uploads, whose writes may come in any order).
 */
bool session_take(uint32_t sequence, bool reorder);

/* The highest sequence taken so far, for messages. */
uint32_t session_highest(void);

#endif
