/* The text of a refusal: what, where, the path that led there, and what would fix it. */
#include "verifier.h"

#include "text.h"

static const char *const type_names[] = {
    [REG_NOT_INIT] = "uninitialised",
    [REG_SCALAR] = "a number",
    [REG_CTX] = "the context pointer",
    [REG_MEMORY] = "a pointer into the test memory",
    [REG_STACK] = "a stack pointer",
    [REG_PACKET] = "a packet pointer",
    [REG_PACKET_END] = "the end of the packet",
    [REG_PACKET_META] = "the packet's metadata pointer",
    [REG_MAP] = "a map",
    [REG_VALUE] = "a pointer into a map value",
    [REG_VALUE_OR_NULL] = "the result of a lookup, which may be NULL",
};

const char *verifier_reg_words(const struct reg *reg)
{
    return reg->type <= REG_VALUE_OR_NULL ? type_names[reg->type] : "unknown";
}

static void add_trail(struct text *text, const struct verifier *v)
{
    bool first = true;

    for (uint32_t i = 8; i-- > 0;) {
        uint64_t word = v->trail[i / 4] >> (16 * (i % 4)) & 0xffff;

        if (word == 0)
            continue;
        text_string(text, first ? "; path: " : ", ");
        text_number(text, word / 2 - 1, 10);
        text_string(text, word % 2 ? " taken" : " not taken");
        first = false;
    }
}

/* Of a refusal inside a function: the calls that led into it, outermost first. */
static void add_calls(struct text *text, const struct verifier *v)
{
    for (uint32_t depth = 1; depth <= v->depth; depth++) {
        text_string(text, depth == 1 ? "; called at: " : ", ");
        text_number(text, v->frames[depth].call_slot, 10);
    }
}

bool verifier_refuse(struct verifier *v, enum bpf_refusal why, const char *fix, const char *format, ...)
{
    struct text text;
    va_list args;

    v->out->refusal = why;
    v->out->slot = v->slot;
    text_start(&text, v->out->reason, sizeof(v->out->reason));
    text_string(&text, "slot ");
    text_number(&text, v->slot, 10);
    text_string(&text, ": ");
    va_start(args, format);
    text_format(&text, format, args);
    va_end(args);
    add_trail(&text, v);
    add_calls(&text, v);
    if (fix != NULL) {
        text_string(&text, "; fix: ");
        text_string(&text, fix);
    }
    return false;
}
