/* Extension images: unsealing, which is every check of an image before its code is verified. */
#ifndef ASSAY_LIVE_IMAGE_H
#define ASSAY_LIVE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assay_messages.h"

#define IMAGE_KEY_SIZE 32u
#define TEST_MEM_MAX   960u /* a RUN response of this much memory still fits a frame */

/* An image that image_unseal accepted: pointers into the caller's bytes. */
struct image {
    const struct assay_image_header *header;
    const struct assay_image_map *maps; /* header->map_count of them */
    const uint8_t *code; /* header->code_size bytes, 8-byte aligned when the image is */
    const uint8_t *rodata; /* header->rodata_size bytes */
};

/* Why an image is refused: an ASSAY_STATUS_*, and static texts. */
struct image_refusal {
    uint16_t status;
    const char *what;
    const char *expected;
    uint64_t seen;
};

/*
 * Checks `size` bytes (8-byte aligned) as an image signed with `public_key`. Sizes and version first, because they
 * say where the signature is; then the signature; only then everything else. Release kernels refuse every flag.
 */
bool image_unseal(const uint8_t *bytes, size_t size, const uint8_t public_key[IMAGE_KEY_SIZE],
                  struct image *image, struct image_refusal *refusal);

#endif
