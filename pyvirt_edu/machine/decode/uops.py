"""The micro-ops: what decoded code is made of.

The decoder turns each instruction into a few of these; the loop in loop.py is their
single definition. A micro-op reads registers ``a`` and ``b`` and an immediate, and writes
``dst``. Register numbers are offsets into the processor's row, so a temporary or the zero
register is named like any other.
"""

from __future__ import annotations

# Kinds, the first level of dispatch
(
    U_MOVE32,
    U_MOVE16,
    U_MOVE8,
    U_LEA32,
    U_LEA16,
    U_ADD32,
    U_OR32,
    U_ADC32,
    U_SBB32,
    U_AND32,
    U_SUB32,
    U_XOR32,
    U_CMP32,
    U_TEST32,
    U_INC32,
    U_DEC32,
    U_NOT32,
    U_NEG32,
    U_SHL32,
    U_SHR32,
    U_SAR32,
    U_ROL32,
    U_ROR32,
    U_ALU16,
    U_ALU8,
    U_UNARY16,
    U_UNARY8,
    U_LOAD8,
    U_LOAD16,
    U_LOAD32,
    U_MODIFY8,
    U_MODIFY16,
    U_MODIFY32,
    U_STORE8,
    U_STORE16,
    U_STORE32,
    U_PUSH32,
    U_POP32,
    U_JUMP,
    U_JUMP_IF,
    U_JUMP_TO,
    U_CALL32,
    U_RETURN32,
    U_CHECK_TARGET,
    U_LOOP,
    U_SET_IF,
    U_MOVE_IF,
    U_SIGN8,
    U_SIGN16,
    U_IMUL,
    U_BIT_TEST,
    U_BIT_OFFSET,
    U_BIT_SCAN,
    U_SWAP16,
    U_SWAP32,
    U_CMPXCHG,
    U_FLAGS,
    U_ASSIST,
    U_FAULT,
    U_PAGE_END,
) = range(60)
KINDS = """
MOVE32 MOVE16 MOVE8 LEA32 LEA16 ADD32 OR32 ADC32 SBB32 AND32
SUB32 XOR32 CMP32 TEST32 INC32 DEC32 NOT32 NEG32 SHL32 SHR32
SAR32 ROL32 ROR32 ALU16 ALU8 UNARY16 UNARY8 LOAD8 LOAD16 LOAD32
MODIFY8 MODIFY16 MODIFY32 STORE8 STORE16 STORE32 PUSH32 POP32 JUMP JUMP_IF
JUMP_TO CALL32 RETURN32 CHECK_TARGET LOOP SET_IF MOVE_IF SIGN8 SIGN16 IMUL
BIT_TEST BIT_OFFSET BIT_SCAN SWAP16 SWAP32 CMPXCHG FLAGS ASSIST FAULT
PAGE_END
""".split()

# Binary operations, in the order of the opcode map
A_ADD, A_OR, A_ADC, A_SBB, A_AND, A_SUB, A_XOR, A_CMP, A_TEST = range(9)
# Unary ones
N_INC, N_DEC, N_NOT, N_NEG = range(4)

# Operations of the assists: whole instructions that leave the loop, by unit
# assist_transfer
(
    OP_CALLF,
    OP_JMPF,
    OP_RETF,
    OP_IRET,
    OP_INT,
    OP_INT3,
    OP_INTO,
    OP_INT1,
    OP_SYSENTER,
    OP_SYSEXIT,
    OP_MOV_SREG,
    OP_POP_SREG,
    OP_LDS,
    OP_LES,
    OP_LSS,
    OP_LFS,
    OP_LGS,
    OP_BOUND,
    OP_ENTER,
    OP_PUSHA,
    OP_POPA,
    OP_ARPL,
    OP_LAR,
    OP_LSL,
    OP_VERR,
    OP_VERW,
) = range(26)
# assist_system
(
    OP_SGDT,
    OP_SIDT,
    OP_LGDT,
    OP_LIDT,
    OP_SLDT,
    OP_STR,
    OP_LLDT,
    OP_LTR,
    OP_SMSW,
    OP_LMSW,
    OP_INVLPG,
    OP_CLTS,
    OP_INVD,
    OP_WBINVD,
    OP_MOV_FROM_CR,
    OP_MOV_TO_CR,
    OP_MOV_FROM_DR,
    OP_MOV_TO_DR,
    OP_RDTSC,
    OP_RDMSR,
    OP_WRMSR,
    OP_CPUID,
    OP_HLT,
    OP_CLI,
    OP_STI,
    OP_PUSHF,
    OP_POPF,
    OP_IN,
    OP_OUT,
    OP_CLD,
    OP_STD,
    OP_LAHF,
    OP_SAHF,
) = range(33)
# assist_string
(
    OP_MOVS,
    OP_CMPS,
    OP_SCAS,
    OP_LODS,
    OP_STOS,
    OP_INS,
    OP_OUTS,
) = range(7)
# assist_arithmetic
(
    OP_DAA,
    OP_DAS,
    OP_AAA,
    OP_AAS,
    OP_AAM,
    OP_AAD,
    OP_MUL,
    OP_IMUL1,
    OP_DIV,
    OP_IDIV,
    OP_SHLD,
    OP_SHRD,
    OP_ROL,
    OP_ROR,
    OP_RCL,
    OP_RCR,
    OP_SHL,
    OP_SHR,
    OP_SAR,
    OP_CMPXCHG8B,
    OP_SALC,
) = range(21)

# assist_x87; instructions that pop, or take integers, share a number with those that do not
(
    OP_FADD,
    OP_FMUL,
    OP_FCOM,
    OP_FSUB,
    OP_FSUBR,
    OP_FDIV,
    OP_FDIVR,
    OP_FUCOM,
    OP_FCOMI,
    OP_FUCOMI,
    OP_FLD,
    OP_FLD_CONSTANT,
    OP_FST,
    OP_FXCH,
    OP_FCMOV,
    OP_FCHS,
    OP_FABS,
    OP_FTST,
    OP_FXAM,
    OP_F2XM1,
    OP_FYL2X,
    OP_FPTAN,
    OP_FPATAN,
    OP_FXTRACT,
    OP_FPREM1,
    OP_FDECSTP,
    OP_FINCSTP,
    OP_FPREM,
    OP_FYL2XP1,
    OP_FSQRT,
    OP_FSINCOS,
    OP_FRNDINT,
    OP_FSCALE,
    OP_FSIN,
    OP_FCOS,
    OP_FFREE,
    OP_FNOP,
    # control instructions, which do not change the instruction and operand pointers
    OP_FLDCW,
    OP_FLDENV,
    OP_FRSTOR,
    OP_WAIT,
    # those from here on do not wait for pending exceptions
    OP_FNSTCW,
    OP_FNSTSW,
    OP_FNSTENV,
    OP_FNSAVE,
    OP_FNCLEX,
    OP_FNINIT,
    OP_FXSAVE,
    OP_FXRSTOR,
) = range(49)

# What assist_x87 is told of its operand: a format, ...
(
    FORMAT_REGISTER,
    FORMAT_SINGLE,
    FORMAT_DOUBLE,
    FORMAT_EXTENDED,
    FORMAT_INT16,
    FORMAT_INT32,
    FORMAT_INT64,
    FORMAT_BCD,
) = range(8)
POP_ONE = 0x10  # ... how often to pop, and whether the result goes to ST(i)
TO_STI = 0x40

# Classes of cost: indices into the COSTS array, priced by costs.CostModel
(
    COST_SIMPLE,
    COST_LOAD,
    COST_STORE,
    COST_BRANCH,
    COST_MULTIPLY,
    COST_DIVIDE,
    COST_STRING,
    COST_SHIFT_DOUBLE,
    COST_CALL,
    COST_FAR,
    COST_SEGMENT,
    COST_GATE,
    COST_IRET,
    COST_TASK,
    COST_SYSTEM,
    COST_CONTROL,
    COST_FLUSH,
    COST_WALK,
    COST_TLB_MISS,
    COST_PORT,
    COST_CPUID,
    COST_MSR,
    COST_SYSENTER,
    COST_STACK_MANY,
    COST_BIT_SCAN,
    COST_BCD,
    COST_EXCEPTION,
    COST_FLOAT_MOVE,
    COST_FLOAT_ADD,
    COST_FLOAT_MULTIPLY,
    COST_FLOAT_DIVIDE,
    COST_FLOAT_ROOT,
    COST_FLOAT_SERIES,
    COST_FLOAT_STATE,
) = range(34)
COST_CLASSES = """
SIMPLE LOAD STORE BRANCH MULTIPLY DIVIDE STRING SHIFT_DOUBLE CALL
FAR SEGMENT GATE IRET TASK SYSTEM CONTROL FLUSH WALK TLB_MISS
PORT CPUID MSR SYSENTER STACK_MANY BIT_SCAN BCD EXCEPTION FLOAT_MOVE FLOAT_ADD FLOAT_MULTIPLY FLOAT_DIVIDE
FLOAT_ROOT FLOAT_SERIES FLOAT_STATE
""".split()
