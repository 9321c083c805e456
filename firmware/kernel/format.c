/* A small snprintf: %s %c %d %u %x, l and ll, %p, with `0` and a width. */
#include "kernel/kernel.h"

#include <stdarg.h>

struct sink {
    char *out;
    uint32_t size;
    uint32_t length; /* what the whole text would need */
};

static void put(struct sink *sink, char c)
{
    if (sink->length + 1u < sink->size)
        sink->out[sink->length] = c;
    sink->length++;
}

static void put_number(struct sink *sink, uint64_t value, uint32_t base, uint32_t width, char pad)
{
    char digits[20];
    uint32_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    for (uint32_t i = count; i < width; i++)
        put(sink, pad);
    while (count > 0)
        put(sink, digits[--count]);
}

static void put_string(struct sink *sink, const char *s, uint32_t width)
{
    uint32_t length = 0;
    for (s = s != NULL ? s : "(null)"; *s != '\0'; s++, length++)
        put(sink, *s);
    for (; length < width; length++)
        put(sink, ' ');
}

int format(char *out, uint32_t size, const char *fmt, ...)
{
    struct sink sink = {out, size, 0};
    va_list args;
    va_start(args, fmt);
    for (; *fmt != '\0'; fmt++) {
        uint32_t width = 0;
        uint32_t longs = 0;
        char pad = ' ';
        if (*fmt != '%') {
            put(&sink, *fmt);
            continue;
        }
        fmt++;
        if (*fmt == '0')
            pad = *fmt++;
        for (; *fmt >= '0' && *fmt <= '9'; fmt++)
            width = width * 10u + (uint32_t)(*fmt - '0');
        for (; *fmt == 'l' || *fmt == 'z'; fmt++)
            longs++;
        switch (*fmt) {
        case 'c': put(&sink, (char)va_arg(args, int)); break;
        case 's': put_string(&sink, va_arg(args, const char *), width); break;
        case 'p':
            put_string(&sink, "0x", 0);
            put_number(&sink, va_arg(args, uint64_t), 16, 16, '0');
            break;
        case 'x':
        case 'u':
            put_number(&sink, longs != 0 ? va_arg(args, uint64_t) : va_arg(args, uint32_t),
                       *fmt == 'x' ? 16 : 10, width, pad);
            break;
        case 'd': {
            int64_t number = longs != 0 ? va_arg(args, int64_t) : va_arg(args, int32_t);
            if (number < 0)
                put(&sink, '-');
            put_number(&sink, number < 0 ? 0ull - (uint64_t)number : (uint64_t)number, 10, width, pad);
            break;
        }
        case '\0': fmt--; break;
        default: put(&sink, *fmt); break;
        }
    }
    va_end(args);
    if (size > 0)
        out[sink.length < size ? sink.length : size - 1u] = '\0';
    return (int)sink.length;
}
