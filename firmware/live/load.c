/* LOAD, UNLOAD, READ_CODE: programs come, go, and show their code. */
#include <string.h>

#include "channel/channel.h"
#include "live/live.h"

uint16_t handle_LOAD(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)request, (void)size;
    size_t image_size = 0;
    const uint8_t *image = channel_blob(ASSAY_BLOB_IMAGE, &image_size);
    if (image == NULL)
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "LOAD: expected: a finished IMAGE upload, seen: none");
    struct load_cost cost = {0};
    struct load_error error = {0};
    const struct program *program = program_load(image, image_size, &cost, &error);
    if (program == NULL)
        return reply_refuse(reply, error.status, "%s", error.text);
    struct assay_load_response *body = reply_body(reply, sizeof(*body));
    body->handle = program->handle;
    body->slots = program->bpf.slots;
    body->map_count = program->bpf.map_count;
    body->code_bytes = program->live.code_bytes;
    body->unseal_instructions = cost.unseal;
    body->verify_instructions = cost.verify;
    body->jit_instructions = cost.jit;
    body->wcet = program->bpf.wcet;
    body->bound_ns = program->bound_ns;
    body->processed = program->verdict.processed;
    body->peak_states = program->verdict.peak_states;
    body->stack_bytes = program->bpf.stack_bytes;
    body->code_va = program->live.code;
    return ASSAY_STATUS_OK;
}

uint16_t handle_UNLOAD(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_handle_request *want = (const void *)request;
    struct program *program = program_find(want->handle);
    if (program == NULL)
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "UNLOAD: expected: a loaded program, seen: handle %u", want->handle);
    if (config_holds(program, false))
        return reply_refuse(
            reply, ASSAY_STATUS_BAD_STATE,
            "UNLOAD: expected: a program that is not deployed, seen: handle %u on its hook; roll back "
            "first",
            want->handle);
    if (config_holds(program, true))
        return reply_refuse(
            reply, ASSAY_STATUS_BAD_STATE,
            "UNLOAD: expected: a program that no rollback point needs, seen: handle %u in one of %u",
            want->handle, config_depth());
    program_free(program);
    return ASSAY_STATUS_OK;
}

uint16_t handle_READ_CODE(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_read_request *want = (const void *)request;
    const struct program *program = program_find(want->handle);
    if (program == NULL)
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "READ_CODE: expected: a loaded program, seen: handle %u", want->handle);
    uint32_t total = program->live.code_bytes;
    if (want->offset > total)
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "READ_CODE: expected: an offset up to %u, seen: %u", total, want->offset);
    struct assay_read_response *body = reply_body(reply, sizeof(*body));
    body->total = total;
    size_t left = total - want->offset;
    size_t room = reply_room(reply);
    (void)reply_append(reply, (const uint8_t *)program->live.code + want->offset, left < room ? left : room);
    return ASSAY_STATUS_OK;
}
