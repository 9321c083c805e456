/* LOAD, UNLOAD, READ_CODE: load and unload extensions, read their code. */
#include "channel/channel.h"
#include "live/config.h"
#include "live/extension.h"

uint16_t handle_LOAD(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)request, (void)size;
    size_t image_size = 0;
    const uint8_t *image = channel_blob(ASSAY_BLOB_IMAGE, &image_size);
    if (image == NULL) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "LOAD: expected: a finished IMAGE upload, seen: none");
    }
    struct load_cost cost = {0};
    struct refusal refusal = {0};
    const struct extension *extension = extension_load(image, image_size, &cost, &refusal);
    if (extension == NULL)
        return reply_refuse(reply, refusal.status, "%s", refusal.text);
    struct assay_load_response *body = reply_body(reply, sizeof(*body));
    body->handle = extension->handle;
    body->code_bytes = extension->bindings[EXTENSION_LIVE].code_bytes;
    body->unseal_instructions = cost.unseal.instructions;
    body->verify_instructions = cost.verify.instructions;
    body->jit_instructions = cost.jit.instructions;
    body->unseal_ns = cost.unseal.ns;
    body->verify_ns = cost.verify.ns;
    body->jit_ns = cost.jit.ns;
    body->bound_ns = extension->bound_ns;
    body->code_va = extension->bindings[EXTENSION_LIVE].entry;
    extension->ops->describe(extension, body);
    return ASSAY_STATUS_OK;
}

uint16_t handle_UNLOAD(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_handle_request *want = (const void *)request;
    struct extension *extension = extension_find(want->handle);
    if (extension == NULL) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "UNLOAD: expected: a loaded program, seen: handle %u", want->handle);
    }
    if (config_holds(extension, false)) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "UNLOAD: expected: a program that is not deployed, "
                            "seen: handle %u on its hook; roll back first",
                            want->handle);
    }
    if (config_holds(extension, true)) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "UNLOAD: expected: a program that no rollback point needs, "
                            "seen: handle %u in one of %u",
                            want->handle, config_depth());
    }
    extension_free(extension);
    return ASSAY_STATUS_OK;
}

uint16_t handle_READ_CODE(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_read_request *want = (const void *)request;
    const struct extension *extension = extension_find(want->handle);
    if (extension == NULL) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "READ_CODE: expected: a loaded program, seen: handle %u", want->handle);
    }
    const struct binding *binding = &extension->bindings[EXTENSION_LIVE];
    uint32_t total = binding->code_bytes;
    if (want->offset > total) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "READ_CODE: expected: an offset up to %u, seen: %u", total, want->offset);
    }
    struct assay_read_response *body = reply_body(reply, sizeof(*body));
    body->total = total;
    size_t left = total - want->offset;
    size_t room = reply_room(reply);
    (void)reply_append(reply, (const uint8_t *)binding->entry + want->offset, left < room ? left : room);
    return ASSAY_STATUS_OK;
}
