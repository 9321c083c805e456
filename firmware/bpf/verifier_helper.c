/* Calls on the current state: helpers by their prototypes, local functions as new frames. */
#include "verifier.h"

#include "helpers.h"
#include "map.h"

/* Memory that a helper only reads: all of it inside its object, initialised, and free of pointers. */
static bool check_readable(struct verifier *v, uint32_t number, uint32_t size)
{
    const struct reg *reg = verifier_reg_at(v, number);

    if (reg->type == REG_STACK)
        return verifier_stack_read(v, reg, 0, size);
    switch (reg->type) {
    case REG_PACKET:
    case REG_PACKET_META:
    case REG_MEMORY:
    case REG_VALUE: return verifier_check_access(v, number, reg, 0, size, false);
    case REG_VALUE_OR_NULL:
        return verifier_refuse(v, BPF_BAD_HELPER, "compare it with 0 first", "argument r%u is %s", number,
                               verifier_reg_words(reg));
    default:
        return verifier_refuse(v, BPF_BAD_HELPER, "pass a pointer to the stack, the packet or a map value",
                               "argument r%u is %s, a pointer to memory is needed", number,
                               verifier_reg_words(reg));
    }
}

static bool check_number(struct verifier *v, uint32_t number)
{
    const struct reg *reg = verifier_reg_at(v, number);

    if (reg->type == REG_SCALAR)
        return true;
    return verifier_refuse(v, reg->type == REG_NOT_INIT ? BPF_UNINITIALISED : BPF_BAD_HELPER, "pass a number",
                           "argument r%u is %s", number, verifier_reg_words(reg));
}

/* How many of r3 to r5 the format in r1 consumes: known from a frozen map, otherwise all of them. */
static bool count_printed(struct verifier *v, uint32_t *printed)
{
    const struct reg *format = verifier_reg_at(v, BPF_R1);
    const struct scalar *size = &verifier_reg_at(v, BPF_R2)->scalar;

    *printed = 3;
    if (format->type != REG_VALUE || !scalar_is_const(*size) || !scalar_is_const(format->scalar))
        return true;
    struct bpf_map *map = v->prog->maps[format->index];
    if (!bpf_map_is_frozen(map) || !bpf_map_is_direct(map))
        return true;
    int found = bpf_trace_arguments((const char *)bpf_map_values(map) + format->off, (uint32_t)size->umax);
    if (found < 0) {
        return verifier_refuse(
            v, BPF_BAD_HELPER,
            "use %d %i %u %x with l or ll, %p, %%, at most three, and end it with a zero byte",
            "bpf_trace_printk: malformed format");
    }
    *printed = (uint32_t)found;
    return true;
}

static bool check_size(struct verifier *v, uint32_t number)
{
    const struct reg *reg = verifier_reg_at(v, number);

    if (!check_number(v, number))
        return false;
    if (reg->scalar.umin == 0 || reg->scalar.umax > BPF_TRACE_FORMAT_MAX) {
        return verifier_refuse(v, BPF_BAD_HELPER, "pass a constant size",
                               "argument r%u is a size of %U to %U, not 1 to %u", number, reg->scalar.umin,
                               reg->scalar.umax, BPF_TRACE_FORMAT_MAX);
    }
    return check_readable(v, number - 1, (uint32_t)reg->scalar.umax);
}

static bool check_map(struct verifier *v, const struct bpf_helper *helper, const struct bpf_map_def **def)
{
    const struct reg *reg = verifier_reg_at(v, BPF_R1);

    if (reg->type != REG_MAP) {
        return verifier_refuse(v, reg->type == REG_NOT_INIT ? BPF_UNINITIALISED : BPF_BAD_HELPER,
                               "pass a map", "%s: r1 is %s, not a map", helper->name,
                               verifier_reg_words(reg));
    }
    *def = bpf_map_def_of(v->prog->maps[reg->index]);
    if (helper->writes_map && ((*def)->flags & BPF_MAP_RDONLY_PROG)) {
        return verifier_refuse(v, BPF_BAD_HELPER, "use another map", "%s: map %s is read-only", helper->name,
                               (*def)->name);
    }
    return true;
}

static bool check_arguments(struct verifier *v, const struct bpf_helper *helper,
                            const struct bpf_map_def **def)
{
    uint32_t printed = 0;

    for (uint32_t i = 0; i < 5; i++) {
        uint32_t number = BPF_R1 + i;
        bool fine = true;

        switch (helper->args[i]) {
        case BPF_ARG_MAP: fine = check_map(v, helper, def); break;
        case BPF_ARG_KEY: fine = check_readable(v, number, (*def)->key_size); break;
        case BPF_ARG_VALUE: fine = check_readable(v, number, (*def)->value_size); break;
        case BPF_ARG_SCALAR: fine = check_number(v, number); break;
        case BPF_ARG_SIZE: fine = check_size(v, number); break;
        case BPF_ARG_PRINTED: /* the first of them is r3 */
            fine = (number != BPF_R3 || count_printed(v, &printed)) &&
                   (number - BPF_R3 >= printed || check_number(v, number));
            break;
        default: break; /* BPF_ARG_NONE; BPF_ARG_MEMORY is checked with its size */
        }
        if (!fine)
            return false;
    }
    return true;
}

bool verifier_step_helper(struct verifier *v, const struct bpf_insn *insn)
{
    const struct bpf_helper *helper = bpf_helper_find(insn->imm);
    struct reg *r0 = verifier_reg_at(v, BPF_R0);

    if (helper == NULL) {
        return verifier_refuse(v, BPF_BAD_HELPER, "this kernel has helpers " BPF_HELPER_NUMBERS_TEXT,
                               "there is no helper %d", (int)insn->imm);
    }
    if (!bpf_hook_in(helper->hooks, v->prog->hook)) {
        return verifier_refuse(v, BPF_BAD_HELPER, NULL, "%s is not for programs of hook %s", helper->name,
                               bpf_hook_find(v->prog->hook)->name);
    }
    const struct bpf_map_def *def = NULL;
    if (!check_arguments(v, helper, &def))
        return false;
    uint32_t map = verifier_reg_at(v, BPF_R1)->index;
    v->cost += bpf_helper_cost_of(helper, def);
    for (uint32_t i = BPF_R1; i <= BPF_R5; i++) /* BPF_CLOBBERED */
        verifier_reg_at(v, i)->type = REG_NOT_INIT;
    switch (helper->result) {
    case BPF_RESULT_VALUE_OR_NULL:
        verifier_set_pointer(r0, REG_VALUE_OR_NULL, map);
        r0->id = verifier_new_id(v);
        break;
    case BPF_RESULT_U32: verifier_set_scalar(r0, verifier_unknown_of_size(4)); break;
    default: verifier_set_scalar(r0, scalar_unknown()); break;
    }
    return true;
}

bool verifier_step_local_call(struct verifier *v, const struct bpf_insn *insn)
{
    struct frame *caller = verifier_top_frame(v);
    uint32_t target = (uint32_t)bpf_jump_target(insn, v->slot);

    if (v->depth + 1 >= BPF_MAX_CALL_DEPTH) {
        return verifier_refuse(v, BPF_BAD_CALL, "inline a function, or remove the recursion",
                               "calls are nested deeper than %u", BPF_MAX_CALL_DEPTH);
    }
    struct frame *callee = &v->frames[++v->depth];
    v->fp.index = (uint8_t)v->depth;
    for (uint32_t i = 0; i < 10; i++)
        callee->regs[i].type = REG_NOT_INIT;
    for (uint32_t i = BPF_R1; i <= BPF_R5; i++)
        callee->regs[i] = caller->regs[i];
    for (uint64_t used = callee->used; used != 0; used &= used - 1)
        callee->init[verifier_lowest_set(used)] = 0;
    callee->used = 0;
    callee->spilled = 0;
    callee->narrow = 0;
    callee->call_slot = v->slot;
    callee->subprog = v->info[target].subprog;
    for (uint32_t i = BPF_R0; i <= BPF_R5; i++)
        caller->regs[i].type = REG_NOT_INIT;
    v->slot = target;
    return true;
}

enum step verifier_step_exit(struct verifier *v)
{
    struct frame *frame = verifier_top_frame(v);
    struct reg *r0 = &frame->regs[BPF_R0];

    if (v->depth == 0) {
        if (r0->type == REG_SCALAR)
            return STEP_PATH_END;
        if (r0->type == REG_NOT_INIT) {
            (void)verifier_refuse(v, BPF_BAD_RETURN, "set r0 on every path", "r0 is not set at exit");
        } else {
            (void)verifier_refuse(v, BPF_POINTER_LEAK, "return a number", "r0 is %s at exit",
                                  verifier_reg_words(r0));
        }
        return STEP_REFUSED;
    }
    if (r0->type == REG_STACK) {
        (void)verifier_refuse(v, BPF_BAD_RETURN, "return a number", "a function returns a stack pointer");
        return STEP_REFUSED;
    }
    v->depth--;
    v->fp.index = (uint8_t)v->depth;
    v->slot = frame->call_slot + 1;
    verifier_top_frame(v)->regs[BPF_R0] = *r0;
    return STEP_ON;
}
