/* Text into a fixed buffer: what refusal reasons and bpf_trace_printk are written with. */
#ifndef ASSAY_BPF_TEXT_H
#define ASSAY_BPF_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *at, *end; /* end: the last byte, kept for the terminating zero */
};

/* Starts an empty text in `buffer` (size >= 1). What does not fit is dropped; the text is always terminated. */
void text_start(struct text *text, char *buffer, size_t size);
void text_char(struct text *text, char c);
void text_string(struct text *text, const char *string);
void text_number(struct text *text, uint64_t value, uint32_t base);
void text_signed(struct text *text, int64_t value);

/* %s string, %d int, %u unsigned, %D int64_t, %U uint64_t, %X uint64_t in hexadecimal with 0x. */
void text_format(struct text *text, const char *format, va_list args);

#endif
