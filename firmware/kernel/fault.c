/* ESR_EL1 as text (ARM DDI 0487 D17.2.37). */
#include "kernel/fault.h"

#include "kernel/kernel.h"

#define ISS_WNR   0x040u
#define ISS_FNV   0x400u
#define ISS_ISV   0x1000000u
#define DFSC(iss) ((iss) & 0x3fu)

static const char *class_name(uint32_t ec)
{
    switch (ec) {
    case 0x00: return "Undefined instruction";
    case 0x01: return "Trapped WFI or WFE";
    case 0x07: return "FP or SIMD instruction (the kernel is built without)";
    case 0x0d: return "Branch Target Exception";
    case 0x0e: return "Illegal Execution state";
    case 0x11: return "SVC, AArch32";
    case 0x15: return "SVC";
    case 0x16: return "HVC";
    case 0x17: return "SMC";
    case 0x18: return "Trapped system register access";
    case 0x20: return "Instruction Abort, lower EL";
    case 0x21: return "Instruction Abort, same EL";
    case 0x22: return "PC alignment fault";
    case 0x24: return "Data Abort, lower EL";
    case 0x25: return "Data Abort, same EL";
    case 0x26: return "SP alignment fault";
    case 0x2c: return "Trapped floating-point exception";
    case 0x2f: return "SError";
    case 0x30: return "Breakpoint, lower EL";
    case 0x31: return "Breakpoint, same EL";
    case 0x32: return "Software Step, lower EL";
    case 0x33: return "Software Step, same EL";
    case 0x34: return "Watchpoint, lower EL";
    case 0x35: return "Watchpoint, same EL";
    case 0x3c: return "BRK instruction";
    default: return "Exception class of no name";
    }
}

/* IFSC and DFSC, which agree wherever both are defined. */
static const char *status_name(uint32_t status)
{
    switch (status) {
    case 0x10: return "synchronous external abort";
    case 0x18: return "synchronous parity or ECC error";
    case 0x21: return "alignment fault";
    case 0x30: return "TLB conflict abort";
    case 0x34: return "implementation defined fault (lockdown)";
    case 0x35: return "unsupported exclusive or atomic access";
    default: break;
    }
    switch (status & 0x3cu) {
    case 0x00: return "address size fault";
    case 0x04: return "translation fault";
    case 0x08: return "access flag fault";
    case 0x0c: return "permission fault";
    case 0x14: return "synchronous external abort on a table walk";
    case 0x1c: return "synchronous parity or ECC error on a table walk";
    default: return "fault status of no name";
    }
}

static bool has_level(uint32_t status)
{
    return status < 0x20u && status != 0x10u && status != 0x18u;
}

/* "in the guard page under core 0's kernel stack", "in the map pool", "in no region". */
static int describe_place(uint64_t far, char *out, uint32_t size)
{
    const struct memory_region *region = memory_region_of(far);
    uint64_t offset = far - STACKS_VA;
    if (region == NULL)
        return format(out, size, far < PAGE_SIZE ? ", null pointer" : ", in no region");
    if (region->va == STACKS_VA && offset < CPU_MAX * STACK_STRIDE) {
        uint64_t page = offset % STACK_STRIDE & ~(PAGE_SIZE - 1u);
        const char *name = page == KERNEL_STACK_BASE - PAGE_SIZE      ? "kernel stack"
                           : page == EXCEPTION_STACK_BASE - PAGE_SIZE ? "exception stack"
                           : page == EMERGENCY_STACK_BASE - PAGE_SIZE ? "emergency stack"
                                                                      : NULL;
        if (name != NULL) {
            return format(out, size, ", stack overflow: guard page under core %lu's %s",
                          (unsigned long)(offset / STACK_STRIDE), name);
        }
    }
    return format(out, size, ", in the %s region", region->name);
}

void fault_describe(uint64_t esr, uint64_t far, char *out, uint32_t size)
{
    uint32_t ec = (uint32_t)ESR_EC(esr);
    uint32_t iss = (uint32_t)ESR_ISS(esr);
    bool abort = ec == 0x20u || ec == EC_IABT_SAME_EL || ec == 0x24u || ec == EC_DABT_SAME_EL;
    bool data = ec == 0x24u || ec == EC_DABT_SAME_EL;
    uint32_t used = (uint32_t)format(out, size, "%s", class_name(ec));
    if (used >= size)
        return;
    if (ec == EC_BRK) {
        format(out + used, size - used, ", immediate %u", iss & 0xffffu);
    } else if (ec == 0x18u) {
        format(out + used, size - used, ", op0 %u op1 %u CRn %u CRm %u op2 %u, %s x%u", iss >> 20 & 3u,
               iss >> 14 & 7u, iss >> 10 & 15u, iss >> 1 & 15u, iss >> 17 & 7u,
               (iss & 1u) != 0 ? "read to" : "write of", iss >> 5 & 31u);
    } else if (abort) {
        used += (uint32_t)format(out + used, size - used, ": %s", status_name(DFSC(iss)));
        if (used < size && has_level(DFSC(iss)))
            used += (uint32_t)format(out + used, size - used, ", level %u", iss & 3u);
        if (used < size && data)
            used += (uint32_t)format(out + used, size - used, (iss & ISS_WNR) != 0 ? ", write" : ", read");
        if (used < size && (iss & ISS_FNV) == 0)
            describe_place(far, out + used, size - used);
    }
}
