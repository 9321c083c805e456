/* What this image was built from. Written by harness/kernel/build.py. */
#ifndef ASSAY_KERNEL_BUILD_INFO_H
#define ASSAY_KERNEL_BUILD_INFO_H

#include <stdbool.h>
#include <stdint.h>

#define BUILD_ID_SIZE    20u
#define PUBLIC_KEY_SIZE  32u
#define CHANNEL_KEY_SIZE 32u

/* 20 bytes over the linked image: equal ids mean equal images. */
const uint8_t *build_id(void);

/* The Ed25519-BLAKE2b key that extension images must be signed with. */
extern const uint8_t build_public_key[PUBLIC_KEY_SIZE];

/* The key that session keys are derived from (harness/config/keys.py: LabKey.channel). */
extern const uint8_t build_channel_key[CHANNEL_KEY_SIZE];

/* True when that key is the committed development key: to be announced as insecure. */
extern const bool build_key_is_development;

/* True in kernels that accept `testing` images (-Dvariant=testing, which defines ASSAY_TESTING=1). */
extern const bool build_is_testing;

/* The folder of firmware/boards that this image was built for, e.g. "qemu-virt". */
extern const char build_board[];

#endif
