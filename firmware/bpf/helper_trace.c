/* bpf_trace_printk and its formats. */
#include "helpers.h"

#include "map.h"
#include "text.h"

/* One conversion of a trace format, after the '%': its letter ('\0' when refused) and whether it is 64 bits wide. */
static char conversion(const char *format, uint32_t size, uint32_t *at, bool *wide)
{
    uint32_t longs = 0;

    while (*at < size && format[*at] == 'l' && longs < 2) {
        longs++;
        (*at)++;
    }
    *wide = longs > 0;
    if (*at >= size)
        return '\0';
    switch (format[*at]) {
    case 'd':
    case 'i': return 'd';
    case 'u': return 'u';
    case 'x': return 'x';
    case 'p': *wide = true; return longs == 0 ? 'x' : '\0';
    case '%': return longs == 0 ? '%' : '\0';
    default: return '\0';
    }
}

int bpf_trace_arguments(const char *format, uint32_t size)
{
    if (size == 0 || size > BPF_TRACE_FORMAT_MAX || format[size - 1] != '\0')
        return -1;
    int arguments = 0;
    bool wide = false;
    for (uint32_t i = 0; i < size && format[i] != '\0'; i++) {
        if (format[i] != '%')
            continue;
        i++;
        char letter = conversion(format, size, &i, &wide);
        if (letter == '\0')
            return -1;
        if (letter != '%')
            arguments++;
    }
    return arguments <= 3 ? arguments : -1;
}

/* long bpf_trace_printk(const char *fmt, u32 fmt_size, ...): %d %i %u %x with l or ll, %p, %%; at most three. */
uint64_t bpf_helper_trace_printk(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    const char *format = bpf_pointer(r1);
    uint32_t size = (uint32_t)r2;

    if (bpf_trace_arguments(format, size) < 0)
        return (uint64_t)-BPF_EINVAL;
    uint64_t values[3];
    values[0] = r3;
    values[1] = r4;
    values[2] = r5;
    char buffer[BPF_TRACE_TEXT_MAX];
    struct text text;
    text_start(&text, buffer, sizeof(buffer));
    uint32_t next = 0;
    bool wide = false;
    for (uint32_t i = 0; i < size && format[i] != '\0'; i++) {
        if (format[i] != '%') {
            text_char(&text, format[i]);
            continue;
        }
        i++;
        char letter = conversion(format, size, &i, &wide);
        if (letter == '%') {
            text_char(&text, '%');
            continue;
        }
        if (letter == 'd')
            text_signed(&text, wide ? (int64_t)values[next] : (int32_t)values[next]);
        else
            text_number(&text, wide ? values[next] : (uint32_t)values[next], letter == 'x' ? 16 : 10);
        next++;
    }
    bpf_env_trace(buffer, (size_t)(text.at - buffer));
    return (uint64_t)(text.at - buffer);
}
