"""The opcode table: one row for each form of each instruction.

Every row reads like the opcode maps of the Intel manual (volume 2, appendix A):
an opcode, a mnemonic, the operands. The decoder, the assembler, the tables in the
book and the test matrix are all derived from these rows; nothing else in the package
knows an opcode number.

Opcode notation
    ``0F A2``      the bytes, in hexadecimal
    ``50+r``       the low three bits name a register (eight opcodes)
    ``70+c``       the low four bits name a condition (sixteen opcodes)
    ``80/2``       ModRM.reg must be 2
    ``0F C7/1m``   and ModRM must name memory;  ``r`` in place of ``m``: a register
    ``D9/4r1``     and this one (ModRM.rm must be 1)

Operand notation (manual, A.2): the first letter is where, the second is how wide.
    E register or memory by ModRM · G register by ModRM.reg · M memory only
    R register by ModRM.rm · Z register in the opcode · I immediate · J relative target
    O absolute offset · A far pointer · S segment register · C, D control, debug register
    X, Y string source and destination · b 8 bits · w 16 · d 32 · q 64
    t 80 · v 16 or 32 by operand size · z the same for an immediate · s the immediate is one
    byte, sign-extended · p far pointer · a two words or two dwords
Registers written out (AL, rAX, CL, DX, ES ...) are implied; rAX is AX or EAX. ST0 is the top
of the x87's stack, STi the register that ModRM.rm counts from it. A mnemonic that is in two
rows of the x87 has its memory and its register form there.
"""

from __future__ import annotations

from dataclasses import dataclass

TABLE = """
00 ADD Eb,Gb
01 ADD Ev,Gv
02 ADD Gb,Eb
03 ADD Gv,Ev
04 ADD AL,Ib
05 ADD rAX,Iz
06 PUSH ES
07 POP ES
08 OR Eb,Gb
09 OR Ev,Gv
0A OR Gb,Eb
0B OR Gv,Ev
0C OR AL,Ib
0D OR rAX,Iz
0E PUSH CS
10 ADC Eb,Gb
11 ADC Ev,Gv
12 ADC Gb,Eb
13 ADC Gv,Ev
14 ADC AL,Ib
15 ADC rAX,Iz
16 PUSH SS
17 POP SS
18 SBB Eb,Gb
19 SBB Ev,Gv
1A SBB Gb,Eb
1B SBB Gv,Ev
1C SBB AL,Ib
1D SBB rAX,Iz
1E PUSH DS
1F POP DS
20 AND Eb,Gb
21 AND Ev,Gv
22 AND Gb,Eb
23 AND Gv,Ev
24 AND AL,Ib
25 AND rAX,Iz
27 DAA
28 SUB Eb,Gb
29 SUB Ev,Gv
2A SUB Gb,Eb
2B SUB Gv,Ev
2C SUB AL,Ib
2D SUB rAX,Iz
2F DAS
30 XOR Eb,Gb
31 XOR Ev,Gv
32 XOR Gb,Eb
33 XOR Gv,Ev
34 XOR AL,Ib
35 XOR rAX,Iz
37 AAA
38 CMP Eb,Gb
39 CMP Ev,Gv
3A CMP Gb,Eb
3B CMP Gv,Ev
3C CMP AL,Ib
3D CMP rAX,Iz
3F AAS
40+r INC Zv
48+r DEC Zv
50+r PUSH Zv
58+r POP Zv
60 PUSHA
61 POPA
62 BOUND Gv,Ma
63 ARPL Ew,Gw
68 PUSH Iz
69 IMUL Gv,Ev,Iz
6A PUSH Is
6B IMUL Gv,Ev,Is
6C INS Yb,DX
6D INS Yv,DX
6E OUTS DX,Xb
6F OUTS DX,Xv
70+c Jcc Jb
80/0 ADD Eb,Ib
80/1 OR Eb,Ib
80/2 ADC Eb,Ib
80/3 SBB Eb,Ib
80/4 AND Eb,Ib
80/5 SUB Eb,Ib
80/6 XOR Eb,Ib
80/7 CMP Eb,Ib
81/0 ADD Ev,Iz
81/1 OR Ev,Iz
81/2 ADC Ev,Iz
81/3 SBB Ev,Iz
81/4 AND Ev,Iz
81/5 SUB Ev,Iz
81/6 XOR Ev,Iz
81/7 CMP Ev,Iz
82/0 ADD Eb,Ib
82/1 OR Eb,Ib
82/2 ADC Eb,Ib
82/3 SBB Eb,Ib
82/4 AND Eb,Ib
82/5 SUB Eb,Ib
82/6 XOR Eb,Ib
82/7 CMP Eb,Ib
83/0 ADD Ev,Is
83/1 OR Ev,Is
83/2 ADC Ev,Is
83/3 SBB Ev,Is
83/4 AND Ev,Is
83/5 SUB Ev,Is
83/6 XOR Ev,Is
83/7 CMP Ev,Is
84 TEST Eb,Gb
85 TEST Ev,Gv
86 XCHG Eb,Gb
87 XCHG Ev,Gv
88 MOV Eb,Gb
89 MOV Ev,Gv
8A MOV Gb,Eb
8B MOV Gv,Ev
8C MOV Ev,Sw
8D LEA Gv,M
8E MOV Sw,Ew
8F/0 POP Ev
90 NOP
90+r XCHG rAX,Zv
98 CBW
99 CWD
9A CALLF Ap
9B WAIT
9C PUSHF
9D POPF
9E SAHF
9F LAHF
A0 MOV AL,Ob
A1 MOV rAX,Ov
A2 MOV Ob,AL
A3 MOV Ov,rAX
A4 MOVS Yb,Xb
A5 MOVS Yv,Xv
A6 CMPS Xb,Yb
A7 CMPS Xv,Yv
A8 TEST AL,Ib
A9 TEST rAX,Iz
AA STOS Yb,AL
AB STOS Yv,rAX
AC LODS AL,Xb
AD LODS rAX,Xv
AE SCAS AL,Yb
AF SCAS rAX,Yv
B0+r MOV Zb,Ib
B8+r MOV Zv,Iz
C0/0 ROL Eb,Ib
C0/1 ROR Eb,Ib
C0/2 RCL Eb,Ib
C0/3 RCR Eb,Ib
C0/4 SHL Eb,Ib
C0/5 SHR Eb,Ib
C0/6 SHL Eb,Ib
C0/7 SAR Eb,Ib
C1/0 ROL Ev,Ib
C1/1 ROR Ev,Ib
C1/2 RCL Ev,Ib
C1/3 RCR Ev,Ib
C1/4 SHL Ev,Ib
C1/5 SHR Ev,Ib
C1/6 SHL Ev,Ib
C1/7 SAR Ev,Ib
C2 RET Iw
C3 RET
C4 LES Gv,Mp
C5 LDS Gv,Mp
C6/0 MOV Eb,Ib
C7/0 MOV Ev,Iz
C8 ENTER Iw,Ib
C9 LEAVE
CA RETF Iw
CB RETF
CC INT3
CD INT Ib
CE INTO
CF IRET
D0/0 ROL Eb,1
D0/1 ROR Eb,1
D0/2 RCL Eb,1
D0/3 RCR Eb,1
D0/4 SHL Eb,1
D0/5 SHR Eb,1
D0/6 SHL Eb,1
D0/7 SAR Eb,1
D1/0 ROL Ev,1
D1/1 ROR Ev,1
D1/2 RCL Ev,1
D1/3 RCR Ev,1
D1/4 SHL Ev,1
D1/5 SHR Ev,1
D1/6 SHL Ev,1
D1/7 SAR Ev,1
D2/0 ROL Eb,CL
D2/1 ROR Eb,CL
D2/2 RCL Eb,CL
D2/3 RCR Eb,CL
D2/4 SHL Eb,CL
D2/5 SHR Eb,CL
D2/6 SHL Eb,CL
D2/7 SAR Eb,CL
D3/0 ROL Ev,CL
D3/1 ROR Ev,CL
D3/2 RCL Ev,CL
D3/3 RCR Ev,CL
D3/4 SHL Ev,CL
D3/5 SHR Ev,CL
D3/6 SHL Ev,CL
D3/7 SAR Ev,CL
D4 AAM Ib
D5 AAD Ib
D6 SALC
D7 XLAT
D8/0m FADD Md
D8/1m FMUL Md
D8/2m FCOM Md
D8/3m FCOMP Md
D8/4m FSUB Md
D8/5m FSUBR Md
D8/6m FDIV Md
D8/7m FDIVR Md
D8/0r FADD ST0,STi
D8/1r FMUL ST0,STi
D8/2r FCOM STi
D8/3r FCOMP STi
D8/4r FSUB ST0,STi
D8/5r FSUBR ST0,STi
D8/6r FDIV ST0,STi
D8/7r FDIVR ST0,STi
D9/0m FLD Md
D9/2m FST Md
D9/3m FSTP Md
D9/4m FLDENV M
D9/5m FLDCW Mw
D9/6m FNSTENV M
D9/7m FNSTCW Mw
D9/0r FLD STi
D9/1r FXCH STi
D9/2r0 FNOP
D9/4r0 FCHS
D9/4r1 FABS
D9/4r4 FTST
D9/4r5 FXAM
D9/5r0 FLD1
D9/5r1 FLDL2T
D9/5r2 FLDL2E
D9/5r3 FLDPI
D9/5r4 FLDLG2
D9/5r5 FLDLN2
D9/5r6 FLDZ
D9/6r0 F2XM1
D9/6r1 FYL2X
D9/6r2 FPTAN
D9/6r3 FPATAN
D9/6r4 FXTRACT
D9/6r5 FPREM1
D9/6r6 FDECSTP
D9/6r7 FINCSTP
D9/7r0 FPREM
D9/7r1 FYL2XP1
D9/7r2 FSQRT
D9/7r3 FSINCOS
D9/7r4 FRNDINT
D9/7r5 FSCALE
D9/7r6 FSIN
D9/7r7 FCOS
DA/0m FIADD Md
DA/1m FIMUL Md
DA/2m FICOM Md
DA/3m FICOMP Md
DA/4m FISUB Md
DA/5m FISUBR Md
DA/6m FIDIV Md
DA/7m FIDIVR Md
DA/0r FCMOVB ST0,STi
DA/1r FCMOVE ST0,STi
DA/2r FCMOVBE ST0,STi
DA/3r FCMOVU ST0,STi
DA/5r1 FUCOMPP
DB/0m FILD Md
DB/2m FIST Md
DB/3m FISTP Md
DB/5m FLD Mt
DB/7m FSTP Mt
DB/0r FCMOVNB ST0,STi
DB/1r FCMOVNE ST0,STi
DB/2r FCMOVNBE ST0,STi
DB/3r FCMOVNU ST0,STi
DB/4r2 FNCLEX
DB/4r3 FNINIT
DB/5r FUCOMI ST0,STi
DB/6r FCOMI ST0,STi
DC/0m FADD Mq
DC/1m FMUL Mq
DC/2m FCOM Mq
DC/3m FCOMP Mq
DC/4m FSUB Mq
DC/5m FSUBR Mq
DC/6m FDIV Mq
DC/7m FDIVR Mq
DC/0r FADD STi,ST0
DC/1r FMUL STi,ST0
DC/4r FSUBR STi,ST0
DC/5r FSUB STi,ST0
DC/6r FDIVR STi,ST0
DC/7r FDIV STi,ST0
DD/0m FLD Mq
DD/2m FST Mq
DD/3m FSTP Mq
DD/4m FRSTOR M
DD/6m FNSAVE M
DD/7m FNSTSW Mw
DD/0r FFREE STi
DD/2r FST STi
DD/3r FSTP STi
DD/4r FUCOM STi
DD/5r FUCOMP STi
DE/0m FIADD Mw
DE/1m FIMUL Mw
DE/2m FICOM Mw
DE/3m FICOMP Mw
DE/4m FISUB Mw
DE/5m FISUBR Mw
DE/6m FIDIV Mw
DE/7m FIDIVR Mw
DE/0r FADDP STi,ST0
DE/1r FMULP STi,ST0
DE/4r FSUBRP STi,ST0
DE/5r FSUBP STi,ST0
DE/6r FDIVRP STi,ST0
DE/7r FDIVP STi,ST0
DE/3r1 FCOMPP
DF/0m FILD Mw
DF/2m FIST Mw
DF/3m FISTP Mw
DF/4m FBLD Mt
DF/5m FILD Mq
DF/6m FBSTP Mt
DF/7m FISTP Mq
DF/4r0 FNSTSW AX
DF/5r FUCOMIP ST0,STi
DF/6r FCOMIP ST0,STi
E0 LOOPNE Jb
E1 LOOPE Jb
E2 LOOP Jb
E3 JCXZ Jb
E4 IN AL,Ib
E5 IN rAX,Ib
E6 OUT Ib,AL
E7 OUT Ib,rAX
E8 CALL Jz
E9 JMP Jz
EA JMPF Ap
EB JMP Jb
EC IN AL,DX
ED IN rAX,DX
EE OUT DX,AL
EF OUT DX,rAX
F1 INT1
F4 HLT
F5 CMC
F6/0 TEST Eb,Ib
F6/1 TEST Eb,Ib
F6/2 NOT Eb
F6/3 NEG Eb
F6/4 MUL Eb
F6/5 IMUL Eb
F6/6 DIV Eb
F6/7 IDIV Eb
F7/0 TEST Ev,Iz
F7/1 TEST Ev,Iz
F7/2 NOT Ev
F7/3 NEG Ev
F7/4 MUL Ev
F7/5 IMUL Ev
F7/6 DIV Ev
F7/7 IDIV Ev
F8 CLC
F9 STC
FA CLI
FB STI
FC CLD
FD STD
FE/0 INC Eb
FE/1 DEC Eb
FF/0 INC Ev
FF/1 DEC Ev
FF/2 CALL Ev
FF/3m CALLF Mp
FF/4 JMP Ev
FF/5m JMPF Mp
FF/6 PUSH Ev
0F 00/0 SLDT Ev
0F 00/1 STR Ev
0F 00/2 LLDT Ew
0F 00/3 LTR Ew
0F 00/4 VERR Ew
0F 00/5 VERW Ew
0F 01/0m SGDT Ms
0F 01/1m SIDT Ms
0F 01/2m LGDT Ms
0F 01/3m LIDT Ms
0F 01/4 SMSW Ev
0F 01/6 LMSW Ew
0F 01/7m INVLPG M
0F 02 LAR Gv,Ew
0F 03 LSL Gv,Ew
0F 06 CLTS
0F 08 INVD
0F 09 WBINVD
0F 0B UD2
0F 18+r NOP Ev
0F 20 MOV Rd,Cd
0F 21 MOV Rd,Dd
0F 22 MOV Cd,Rd
0F 23 MOV Dd,Rd
0F 30 WRMSR
0F 31 RDTSC
0F 32 RDMSR
0F 34 SYSENTER
0F 35 SYSEXIT
0F 40+c CMOVcc Gv,Ev
0F 80+c Jcc Jz
0F 90+c SETcc Eb
0F A0 PUSH FS
0F A1 POP FS
0F A2 CPUID
0F A3 BT Ev,Gv
0F A4 SHLD Ev,Gv,Ib
0F A5 SHLD Ev,Gv,CL
0F A8 PUSH GS
0F A9 POP GS
0F AB BTS Ev,Gv
0F AC SHRD Ev,Gv,Ib
0F AD SHRD Ev,Gv,CL
0F AE/0m FXSAVE M
0F AE/1m FXRSTOR M
0F AF IMUL Gv,Ev
0F B0 CMPXCHG Eb,Gb
0F B1 CMPXCHG Ev,Gv
0F B2 LSS Gv,Mp
0F B3 BTR Ev,Gv
0F B4 LFS Gv,Mp
0F B5 LGS Gv,Mp
0F B6 MOVZX Gv,Eb
0F B7 MOVZX Gv,Ew
0F B9 UD1 Gv,Ev
0F BA/4 BT Ev,Ib
0F BA/5 BTS Ev,Ib
0F BA/6 BTR Ev,Ib
0F BA/7 BTC Ev,Ib
0F BB BTC Ev,Gv
0F BC BSF Gv,Ev
0F BD BSR Gv,Ev
0F BE MOVSX Gv,Eb
0F BF MOVSX Gv,Ew
0F C0 XADD Eb,Gb
0F C1 XADD Ev,Gv
0F C7/1m CMPXCHG8B Mq
0F C8+r BSWAP Zv
0F FF UD0 Gv,Ev
"""

CONDITIONS = "O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE".split()

#: Instructions that accept LOCK when their destination is memory (manual, LOCK).
LOCKABLE = frozenset(
    "ADD ADC AND BTC BTR BTS CMPXCHG CMPXCHG8B DEC INC NEG NOT OR SBB SUB XOR XADD XCHG".split()
)

# Flags each instruction writes, and those the manual leaves undefined ("oszapc" letters,
# volume 1, appendix A). Shifts and rotates also depend on the count; the tests know that.
_FLAGS = """
ADD ADC SUB SBB CMP NEG CMPS SCAS XADD CMPXCHG : oszapc :
AND OR XOR TEST : oszpc : a
INC DEC : oszap :
DAA DAS : szapc : o
AAA AAS : ac : oszp
AAM AAD : szp : oac
MUL IMUL : oc : szap
DIV IDIV : : oszapc
SHL SHR SAR : oszpc : a
SHLD SHRD : oszpc : a
ROL ROR RCL RCR : oc :
BT BTS BTR BTC : c : oszap
BSF BSR : z : osapc
CLC STC CMC : c :
SAHF : szapc :
ARPL LAR LSL VERR VERW CMPXCHG8B : z :
POPF IRET : oszapc :
"""


def _flag_rows() -> dict[str, tuple[str, str]]:
    rows = {}
    for line in _FLAGS.strip().splitlines():
        names, written, undefined = (part.strip() for part in line.split(":"))
        rows.update(dict.fromkeys(names.split(), (written, undefined)))
    return rows


FLAGS_WRITTEN_UNDEFINED = _flag_rows()


@dataclass(frozen=True)
class Row:
    """One row of the table: one opcode, or one ModRM.reg value of a group."""

    number: int  #: index of the row, what the decoder calls it
    opcode: int  #: last opcode byte
    two_byte: bool  #: whether 0F comes first
    reg: int | None  #: required ModRM.reg, or None
    mod: str  #: "m" memory only, "r" register only, "" either
    mnemonic: str  #: as in the manual; condition codes are spelled out (JNZ)
    operation: str  #: mnemonic of the row in TABLE (Jcc for JNZ)
    operands: tuple[str, ...]
    rm: int | None = None  #: required ModRM.rm, or None

    @property
    def notation(self) -> str:
        """The opcode as TABLE writes it, e.g. ``0F C7/1m``."""
        text = ("0F " if self.two_byte else "") + f"{self.opcode:02X}"
        rm = "" if self.rm is None else str(self.rm)
        return text + (f"/{self.reg}{self.mod}{rm}" if self.reg is not None else "")

    @property
    def is_x87(self) -> bool:
        """Whether the opcode is one of the eight escapes to the coprocessor."""
        return not self.two_byte and self.opcode & 0xF8 == 0xD8

    @property
    def has_modrm(self) -> bool:
        return self.reg is not None or any(o[0] in "EGMRSCD" and o not in _IMPLIED for o in self.operands)

    @property
    def lockable(self) -> bool:
        return self.operation in LOCKABLE and self.operands[0][0] in "EM"

    def __str__(self) -> str:
        return f"{self.notation:10} {self.mnemonic} {','.join(self.operands)}".rstrip()


_IMPLIED = frozenset("AL CL AX DX rAX ES CS SS DS FS GS ST0 STi 1".split())


def _parse(text: str) -> tuple[Row, ...]:
    rows: list[Row] = []
    for line in text.strip().splitlines():
        fields = line.split()
        two_byte = fields[0] == "0F"
        if two_byte:
            fields.pop(0)
        code, mnemonic = fields[0], fields[1]
        operands = tuple(fields[2].split(",")) if len(fields) > 2 else ()
        first, reg, mod, rm = int(code[:2], 16), None, "", None
        if code[2:3] == "/":
            reg, mod = int(code[3]), code[4:5]
            rm = int(code[5]) if code[5:] else None
        count = {"+r": 8, "+c": 16}.get(code[2:4], 1)
        for i in range(count):
            if mnemonic == "XCHG" and count == 8 and i == 0:
                continue  # 90 is NOP
            name = mnemonic.replace("cc", CONDITIONS[i]) if count == 16 else mnemonic
            rows.append(Row(len(rows), first + i, two_byte, reg, mod, name, mnemonic, operands, rm))
    return tuple(rows)


ROWS: tuple[Row, ...] = _parse(TABLE)


def rows_for(mnemonic: str) -> tuple[Row, ...]:
    """All rows of one mnemonic, e.g. ``rows_for("ADD")``; upper case, as in the manual."""
    return tuple(row for row in ROWS if mnemonic in (row.mnemonic, row.operation))
