/* The message table and the processing of a request. See dispatch.h. */
#include "channel/dispatch.h"

#include <string.h>

#include "channel/channel.h"
#include "channel/session.h"

struct message {
    uint16_t number;
    uint16_t size;
    bool has_tail;
    bool authenticated;
    channel_handler *handler;
    const char *name;
};

/* A message whose handler is not in this image has a null one: weak references are not an error to the linker. */
#define WEAK(name, number, size, tail, authenticated) __attribute__((weak)) channel_handler handle_##name;
ASSAY_MESSAGES(WEAK)

#define ROW(name, number, size, tail, authenticated)                                                         \
    {number, size, tail, authenticated, handle_##name, #name},
static const struct message messages[] = {ASSAY_MESSAGES(ROW)};

/* The answer to one of the last CREDITS requests: as many as may be in progress, and therefore repeated. */
struct answer {
    struct assay_frame_header request;
    uint32_t crc;
    uint32_t request_size;
    size_t wire_size; /* 0: empty */
    uint8_t wire[FRAME_WIRE_MAX];
};

static struct answer answers[ASSAY_CREDITS];
static size_t next_answer;
static uint32_t duplicates;
static uint32_t strangers;
static uint32_t current_sequence;
static struct reply reply;

/* Frames that wait while one is handled are in the UART's ring: all but that one must fit (plus a leading 0x00). */
_Static_assert((ASSAY_CREDITS - 1) * (FRAME_WIRE_MAX + 1) < UART_RING_SIZE,
               "credits exceed the receive ring");

void *reply_body(struct reply *into, size_t size)
{
    if (size > reply_room(into))
        return NULL;
    void *at = into->body + into->size;
    memset(at, 0, size);
    into->size += size;
    return at;
}

bool reply_append(struct reply *into, const void *data, size_t size)
{
    void *at = reply_body(into, size);
    if (at == NULL)
        return false;
    memcpy(at, data, size);
    return true;
}

uint16_t reply_text(struct reply *into, uint16_t status, int length)
{
    into->size = length <= 0 ? 0 : (size_t)length < REPLY_MAX ? (size_t)length : REPLY_MAX - 1;
    return status;
}

static const struct message *message_of(uint16_t number)
{
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        if (messages[i].number == number && messages[i].handler != NULL)
            return &messages[i];
    }
    return NULL;
}

/* Session, MAC and freshness. Last, because only an otherwise valid request uses up its sequence. */
static uint16_t authenticate(const struct message *message, const struct frame *frame)
{
    uint16_t status = session_check(frame);
    if (status == ASSAY_STATUS_NO_SESSION) {
        return reply_refuse(&reply, status, "%s needs an open session, seen: session %u", message->name,
                            frame->header.session);
    }
    if (status == ASSAY_STATUS_BAD_MAC) {
        return reply_refuse(&reply, status, "%s needs a MAC with the session's key, seen: %s", message->name,
                            frame->mac == NULL ? "none" : "another");
    }
    if (!session_take(frame->header.sequence, message->number == ASSAY_MSG_BLOB_WRITE)) {
        return reply_refuse(&reply, ASSAY_STATUS_STALE_SEQUENCE, "expected: a sequence above %u, seen: %u",
                            session_highest(), frame->header.sequence);
    }
    return ASSAY_STATUS_OK;
}

static uint16_t execute(const struct frame *frame)
{
    const struct message *message = message_of(frame->header.message);
    if (message == NULL) {
        return reply_refuse(&reply, ASSAY_STATUS_UNKNOWN_MESSAGE, "message %x is not in this kernel",
                            frame->header.message);
    }
    bool size_is_right =
        message->has_tail ? frame->payload_size >= message->size : frame->payload_size == message->size;
    if (!size_is_right) {
        return reply_refuse(&reply, ASSAY_STATUS_BAD_LENGTH, "%s: expected: %s%u bytes, seen: %u",
                            message->name, message->has_tail ? "at least " : "", message->size,
                            (uint32_t)frame->payload_size);
    }
    if (message->authenticated) {
        uint16_t status = authenticate(message, frame);
        if (status != ASSAY_STATUS_OK)
            return status;
    }
    current_sequence = frame->header.sequence;
    return message->handler(frame->payload, frame->payload_size, &reply);
}

static const struct answer *find_answer(const struct frame *frame)
{
    for (size_t i = 0; i < ASSAY_CREDITS; i++) {
        const struct answer *answer = &answers[i];
        if (answer->wire_size != 0 && answer->crc == frame->crc &&
            answer->request_size == frame->signed_size &&
            memcmp(&answer->request, &frame->header, sizeof(frame->header)) == 0) {
            return answer;
        }
    }
    return NULL;
}

const uint8_t *dispatch(const struct frame *frame, size_t *size)
{
    if (frame->header.kind != ASSAY_FRAME_REQUEST) {
        strangers++;
        return NULL;
    }
    const struct answer *known = find_answer(frame);
    if (known != NULL) {
        duplicates++;
        *size = known->wire_size;
        return known->wire;
    }
    reply.size = 0;
    struct assay_response_header lead = {.status = execute(frame), .credits = ASSAY_CREDITS};
    struct assay_frame_header header = {
        .kind = ASSAY_FRAME_RESPONSE,
        .message = frame->header.message,
        .sequence = frame->header.sequence,
        .session = frame->header.session,
    };
    struct frame_part parts[] = {{&lead, sizeof(lead)}, {reply.body, reply.size}};
    struct answer *answer = &answers[next_answer];
    next_answer = (next_answer + 1) % ASSAY_CREDITS;
    answer->request = frame->header;
    answer->crc = frame->crc;
    answer->request_size = (uint32_t)frame->signed_size;
    answer->wire_size = frame_encode(&header, parts, 2, answer->wire, sizeof(answer->wire));
    *size = answer->wire_size;
    return answer->wire;
}

uint32_t dispatch_duplicates(void)
{
    return duplicates;
}

uint32_t dispatch_strangers(void)
{
    return strangers;
}

uint32_t dispatch_sequence(void)
{
    return current_sequence;
}
