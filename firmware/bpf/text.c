/* Text into a fixed buffer. */
#include "text.h"

void text_start(struct text *text, char *buffer, size_t size)
{
    text->at = buffer;
    text->end = buffer + size - 1;
    *buffer = '\0';
}

void text_char(struct text *text, char c)
{
    if (text->at >= text->end)
        return;
    *text->at++ = c;
    *text->at = '\0';
}

void text_string(struct text *text, const char *string)
{
    while (*string != '\0')
        text_char(text, *string++);
}

void text_number(struct text *text, uint64_t value, uint32_t base)
{
    char digits[20];
    uint32_t count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0 && count < sizeof(digits));
    while (count > 0)
        text_char(text, digits[--count]);
}

void text_signed(struct text *text, int64_t value)
{
    uint64_t magnitude = (uint64_t)value;

    if (value < 0) {
        text_char(text, '-');
        magnitude = 0 - magnitude;
    }
    text_number(text, magnitude, 10);
}

void text_format(struct text *text, const char *format, va_list args)
{
    for (; *format != '\0'; format++) {
        if (*format != '%') {
            text_char(text, *format);
            continue;
        }
        format++;
        switch (*format) {
        case 's': text_string(text, va_arg(args, const char *)); break;
        case 'd': text_signed(text, va_arg(args, int)); break;
        case 'u': text_number(text, va_arg(args, unsigned), 10); break;
        case 'D': text_signed(text, va_arg(args, int64_t)); break;
        case 'U': text_number(text, va_arg(args, uint64_t), 10); break;
        case 'X':
            text_string(text, "0x");
            text_number(text, va_arg(args, uint64_t), 16);
            break;
        case '\0': return;
        default: text_char(text, *format); break;
        }
    }
}
