/* MAP_READ: the entries of an extension's map. */
#include "channel/channel.h"
#include "live/extension.h"

uint16_t handle_MAP_READ(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_map_read_request *want = (const void *)request;
    const struct extension *extension = extension_find(want->handle);
    enum extension_state state = want->trial != 0 ? EXTENSION_TRIAL : EXTENSION_LIVE;
    uint32_t count = 0;
    struct bpf_map *map =
        extension == NULL ? NULL : extension->ops->map(extension, state, want->map_index, &count);
    if (want->map_index >= count) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "MAP_READ: expected: a loaded program and one of its %u maps, "
                            "seen: handle %u, map %u",
                            count, want->handle, want->map_index);
    }
    if (map == NULL) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "MAP_READ: expected: a trial before its maps are read, seen: none");
    }
    const struct bpf_map_def *def = bpf_map_def_of(map);
    struct assay_map_read_response *body = reply_body(reply, sizeof(*body));
    body->key_size = def->key_size;
    body->value_size = def->value_size;
    if (def->key_size + (size_t)def->value_size > reply_room(reply)) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "MAP_READ: expected: entries that fit a frame, "
                            "seen: key of %u and value of %u bytes",
                            def->key_size, def->value_size);
    }
    uint32_t cursor = want->cursor;
    while (reply_room(reply) >= def->key_size + (size_t)def->value_size) {
        const void *key = NULL;
        const void *value = NULL;
        cursor = bpf_map_next(map, cursor, &key, &value);
        if (cursor == 0)
            break;
        (void)reply_append(reply, key, def->key_size);
        (void)reply_append(reply, value, def->value_size);
        body->count++;
    }
    body->next = cursor;
    return ASSAY_STATUS_OK;
}
