/* Immediates of A64: bitmask immediates of the logical class, and constants built from wide moves. */
#include "a64.h"

static uint64_t ones(uint32_t count) /* 1 to 64 */
{
    return ~0ull >> (64u - count);
}

bool a64_bitmask(uint64_t value, uint32_t sf, uint32_t *bitmask)
{
    if (!sf)
        value = (value & 0xffffffffu) | value << 32;
    if (value == 0 || ~value == 0)
        return false;

    /* The element is the shortest power-of-two pattern that the value repeats. */
    uint32_t size = 64;
    while (size > 2 && (value & ones(size / 2)) == (value >> size / 2 & ones(size / 2)))
        size /= 2;
    uint64_t element = value & ones(size);

    /* It must be one run of ones, rotated: rotate it right until the run starts at bit 0. */
    uint32_t wrapped =
        (uint32_t)__builtin_ctzll(~element); /* ones at the bottom; below `size`, as it is not all ones */
    uint64_t run = wrapped ? (element >> wrapped | element << (size - wrapped)) & ones(size) : element;
    uint32_t zeros = (uint32_t)__builtin_ctzll(run);
    run >>= zeros;
    if (run & (run + 1))
        return false;
    uint32_t length = (uint32_t)__builtin_ctzll(~run);
    uint32_t start = (wrapped + zeros) & (size - 1);

    /* imms carries the element size as a prefix of ones above a 0, then length - 1; immr turns the run back. */
    uint32_t immr = (size - start) & (size - 1);
    uint32_t imms = (~(size - 1) << 1 & 0x3fu) | (length - 1);
    *bitmask = (size == 64 ? 1u << 12 : 0u) | immr << 6 | imms;
    return true;
}

uint32_t a64_mov_imm(uint32_t out[static 4], uint32_t rd, uint64_t value)
{
    if (value < 0x10000u) {
        out[0] = a64_wide(A64_MOVZ, 0, rd, (uint32_t)value, 0);
        return 1;
    }
    /* A write to W clears the upper half, so 32-bit values have two halfwords to care for, in either polarity. */
    uint32_t sf = value >> 32 ? 1 : 0;
    uint32_t halves = sf ? 4 : 2;
    uint32_t zero = 0, one = 0;
    for (uint32_t i = 0; i < halves; i++) {
        uint32_t half = (uint32_t)(value >> 16 * i) & 0xffffu;
        zero += half == 0;
        one += half == 0xffffu;
    }
    bool inverted = one > zero;
    uint32_t skip = inverted ? 0xffffu : 0;
    uint32_t bitmask;
    if (halves - (inverted ? one : zero) > 1 && a64_bitmask(value, sf, &bitmask)) {
        out[0] = a64_logical(A64_ORRI, sf, rd, A64_ZR, bitmask);
        return 1;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < halves; i++) {
        uint32_t half = (uint32_t)(value >> 16 * i) & 0xffffu;
        if (half == skip)
            continue;
        if (n) {
            out[n++] = a64_wide(A64_MOVK, sf, rd, half, i);
        } else {
            out[n++] = inverted ? a64_wide(A64_MOVN, sf, rd, half ^ 0xffffu, i)
                                : a64_wide(A64_MOVZ, sf, rd, half, i);
        }
    }
    if (n == 0) /* all ones */
        out[n++] = a64_wide(A64_MOVN, sf, rd, 0, 0);
    return n;
}
