/*
 * String functions, a word at a time where both ends allow. The kernel runs with alignment checking off, so words
 * may sit anywhere in Normal memory; never use these on device registers.
 */
#include <string.h>

#include <stdint.h>

typedef uint64_t __attribute__((may_alias, aligned(1))) word;

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    uint8_t *d = dst;
    const uint8_t *s = src;
    for (; n >= 16u; n -= 16u, d += 16, s += 16) {
        uint64_t low = ((const word *)s)[0];
        uint64_t high = ((const word *)s)[1];
        ((word *)d)[0] = low;
        ((word *)d)[1] = high;
    }
    for (; n >= 8u; n -= 8u, d += 8, s += 8)
        *(word *)d = *(const word *)s;
    for (; n > 0; n--)
        *d++ = *s++;
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    uint8_t *d = dst;
    const uint8_t *s = src;
    if ((uintptr_t)d - (uintptr_t)s >= n) {
        for (; n >= 8u; n -= 8u, d += 8, s += 8)
            *(word *)d = *(const word *)s;
        for (; n > 0; n--)
            *d++ = *s++;
    } else {
        for (; n >= 8u; n -= 8u)
            *(word *)(d + n - 8) = *(const word *)(s + n - 8);
        for (; n > 0; n--)
            d[n - 1] = s[n - 1];
    }
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    uint8_t *d = dst;
    uint64_t pattern = 0x0101010101010101ull * (uint8_t)c;
    for (; n >= 16u; n -= 16u, d += 16) {
        ((word *)d)[0] = pattern;
        ((word *)d)[1] = pattern;
    }
    for (; n > 0; n--)
        *d++ = (uint8_t)c;
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    for (; n >= 8u && *(const word *)x == *(const word *)y; n -= 8u, x += 8, y += 8) {
    }
    for (; n > 0; n--, x++, y++) {
        if (*x != *y)
            return *x - *y;
    }
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n] != '\0')
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    for (; *a != '\0' && *a == *b; a++, b++) {
    }
    return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n > 0; n--, a++, b++) {
        if (*a != *b || *a == '\0')
            return (uint8_t)*a - (uint8_t)*b;
    }
    return 0;
}
