/* SHA-256 (FIPS 180-4), for program ids. */
#ifndef ASSAY_LIVE_SHA256_H
#define ASSAY_LIVE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32u

void sha256(const uint8_t *message, size_t size, uint8_t digest[SHA256_SIZE]);

#endif
