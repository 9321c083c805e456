/* The session, its key and its window of used sequences. See session.h. */
#include "channel/session.h"

#include <string.h>

#include "drivers/timer.h"
#include "kernel/build_info.h"
#include "monocypher.h"

#define SESSION_KEY_SIZE 32u
#define WINDOW           64u

static const uint8_t proof_text[] = {'a', 's', 's', 'a', 'y', ' ', 'o', 'p', 'e', 'n'};

static struct {
    uint8_t nonce[ASSAY_NONCE_SIZE];
    bool nonce_is_fresh; /* made by a HELLO and not used by an OPEN yet */
    uint64_t nonces_made;
    uint32_t epoch;
    uint32_t opened; /* sessions so far; the last one is the open one */
    uint32_t number; /* 0: none is open */
    uint8_t key[SESSION_KEY_SIZE];
    uint32_t highest;
    uint64_t used; /* bit n: sequence highest - n was taken */
} session;

void session_init(void)
{
    memset(&session, 0, sizeof(session));
}

const uint8_t *session_make_nonce(const uint8_t *host_nonce)
{
    uint64_t ticks = timer_ticks();
    session.nonces_made++;
    crypto_blake2b_ctx hash;
    crypto_blake2b_keyed_init(&hash, ASSAY_NONCE_SIZE, build_channel_key, CHANNEL_KEY_SIZE);
    crypto_blake2b_update(&hash, host_nonce, ASSAY_NONCE_SIZE);
    crypto_blake2b_update(&hash, session.nonce, ASSAY_NONCE_SIZE);
    crypto_blake2b_update(&hash, (const uint8_t *)&session.nonces_made, sizeof(session.nonces_made));
    crypto_blake2b_update(&hash, (const uint8_t *)&ticks, sizeof(ticks));
    crypto_blake2b_final(&hash, session.nonce);
    session.nonce_is_fresh = true;
    return session.nonce;
}

uint32_t session_epoch(void)
{
    return session.epoch;
}

uint32_t session_open(const struct assay_open_request *request, uint32_t sequence, uint16_t *status)
{
    if (!session.nonce_is_fresh) {
        *status = ASSAY_STATUS_BAD_STATE;
        return 0;
    }
    uint8_t key[SESSION_KEY_SIZE];
    uint8_t proof[ASSAY_MAC_SIZE];
    crypto_blake2b_ctx hash;
    crypto_blake2b_keyed_init(&hash, sizeof(key), build_channel_key, CHANNEL_KEY_SIZE);
    crypto_blake2b_update(&hash, request->host_nonce, ASSAY_NONCE_SIZE);
    crypto_blake2b_update(&hash, session.nonce, ASSAY_NONCE_SIZE);
    crypto_blake2b_update(&hash, (const uint8_t *)&request->epoch, sizeof(request->epoch));
    crypto_blake2b_final(&hash, key);
    crypto_blake2b_keyed(proof, sizeof(proof), key, sizeof(key), proof_text, sizeof(proof_text));
    if (crypto_verify16(proof, request->proof) != 0) {
        *status = ASSAY_STATUS_BAD_MAC;
    } else if (request->epoch < session.epoch) {
        *status = ASSAY_STATUS_STALE_EPOCH;
    } else {
        *status = ASSAY_STATUS_OK;
        session.nonce_is_fresh = false;
        session.epoch = request->epoch;
        memcpy(session.key, key, sizeof(key));
        session.highest = sequence;
        session.used = 1;
        session.number = ++session.opened;
    }
    crypto_wipe(key, sizeof(key));
    return *status == ASSAY_STATUS_OK ? session.number : 0;
}

uint16_t session_check(const struct frame *frame)
{
    if (session.number == 0 || frame->header.session != session.number)
        return ASSAY_STATUS_NO_SESSION;
    if (frame->mac == NULL)
        return ASSAY_STATUS_BAD_MAC;
    uint8_t mac[ASSAY_MAC_SIZE];
    crypto_blake2b_keyed(mac, sizeof(mac), session.key, sizeof(session.key), frame->signed_bytes,
                         frame->signed_size);
    return crypto_verify16(mac, frame->mac) == 0 ? ASSAY_STATUS_OK : ASSAY_STATUS_BAD_MAC;
}

bool session_take(uint32_t sequence, bool reorder)
{
    if (sequence > session.highest) {
        uint32_t ahead = sequence - session.highest;
        session.used = ahead < WINDOW ? session.used << ahead : 0;
        session.used |= 1;
        session.highest = sequence;
        return true;
    }
    uint32_t behind = session.highest - sequence;
    if (!reorder || behind >= WINDOW || (session.used >> behind & 1) != 0)
        return false;
    session.used |= 1ull << behind;
    return true;
}

uint32_t session_highest(void)
{
    return session.highest;
}
