"""The opcode table: one row for each form of each instruction, and all there is to say of it.

Every row reads like the opcode maps of the Intel manual (volume 2, appendix A):
an opcode, a mnemonic, the operands; then, how the machine executes it. The decoder, the
calls of the functions that rows name, the assembler, the tables in the book and the test
matrix are all derived from these rows; nothing else in the package knows an opcode number.

Opcode notation
    ``0F A2``      the bytes, in hexadecimal
    ``F3 0F B8``   the first is a prefix that belongs to the opcode
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

Where two rows have the same mnemonic and operands, the documented one comes first, and is what
the assembler writes. The x87 has undocumented aliases that every processor since the 387 runs:
D9/3r, DC/2r and /3r, DD/1r, DE/2r, DF/0r to /3r; FNENI, FNDISI and FSETPM, which meant something
to its predecessors, do nothing (manual 3B, 22.18.9).

How it is executed. A row that says nothing of it has what the first row of its mnemonic has.
    ``alu``                a recipe: micro-ops for the loop (``recipe_alu`` in recipes.py)
    ``system.halt``        a function of a unit (system.py, transfers.py, arithmetic.py,
                           strings.py, x87.py). Its parameters' names say what it is given
                           (UNIT_VALUES in operations.py)
    ``...(signed=1)``      ... and this parameter is given that
    ``...(FSUB)``          ... and it is asked for FSUB; without a name, for the row's mnemonic
    ``T0=E`` ``T3=G``      operands that the unit finds in its temporaries; ``T1=&M`` the address
    ``port=DX``            the port is in T1; the loop goes on at once if no device objects
    ``late=E``             a word in T0, or in memory at T1, which the unit reads and writes itself
                           once it knows that the instruction is allowed
    ``E=T0`` ``word``      what comes back; in memory a word, whatever the operand size
    ``single`` ``bcd`` ... the format of the x87's memory operand; ``writes``: it is written
    ``pop`` ``pop2`` ``to_sti`` ``control`` ``no_wait``
                           of the x87: registers are popped, the result goes to ST(i), the
                           pointers to instruction and operand stay, no exception is waited for
    ``lock``               LOCK may precede it if the destination is memory (manual, LOCK)
    ``modes=protected``    #UD in real and virtual-8086 mode
    ``cost=divide``        its class in costs.py, where it is not ``simple``
    ``flags=oszpc?a``      flags it writes, and those the manual leaves undefined (volume 1,
                           appendix A). Shifts and rotates also depend on the count
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TABLE = """
00       ADD       Eb,Gb      alu lock flags=oszapc
01       ADD       Ev,Gv
02       ADD       Gb,Eb
03       ADD       Gv,Ev
04       ADD       AL,Ib
05       ADD       rAX,Iz
06       PUSH      ES         push_segment
07       POP       ES         transfer.pop_segment
08       OR        Eb,Gb      alu lock flags=oszpc?a
09       OR        Ev,Gv
0A       OR        Gb,Eb
0B       OR        Gv,Ev
0C       OR        AL,Ib
0D       OR        rAX,Iz
0E       PUSH      CS
10       ADC       Eb,Gb      alu lock flags=oszapc
11       ADC       Ev,Gv
12       ADC       Gb,Eb
13       ADC       Gv,Ev
14       ADC       AL,Ib
15       ADC       rAX,Iz
16       PUSH      SS
17       POP       SS
18       SBB       Eb,Gb      alu lock flags=oszapc
19       SBB       Ev,Gv
1A       SBB       Gb,Eb
1B       SBB       Gv,Ev
1C       SBB       AL,Ib
1D       SBB       rAX,Iz
1E       PUSH      DS
1F       POP       DS
20       AND       Eb,Gb      alu lock flags=oszpc?a
21       AND       Ev,Gv
22       AND       Gb,Eb
23       AND       Gv,Ev
24       AND       AL,Ib
25       AND       rAX,Iz
27       DAA                  arithmetic.decimal_adjust_packed(subtract=0) cost=bcd flags=szapc?o
28       SUB       Eb,Gb      alu lock flags=oszapc
29       SUB       Ev,Gv
2A       SUB       Gb,Eb
2B       SUB       Gv,Ev
2C       SUB       AL,Ib
2D       SUB       rAX,Iz
2F       DAS                  arithmetic.decimal_adjust_packed(subtract=1) cost=bcd flags=szapc?o
30       XOR       Eb,Gb      alu lock flags=oszpc?a
31       XOR       Ev,Gv
32       XOR       Gb,Eb
33       XOR       Gv,Ev
34       XOR       AL,Ib
35       XOR       rAX,Iz
37       AAA                  arithmetic.decimal_adjust_unpacked(subtract=0) cost=bcd flags=ac?oszp
38       CMP       Eb,Gb      alu flags=oszapc
39       CMP       Ev,Gv
3A       CMP       Gb,Eb
3B       CMP       Gv,Ev
3C       CMP       AL,Ib
3D       CMP       rAX,Iz
3F       AAS                  arithmetic.decimal_adjust_unpacked(subtract=1) cost=bcd flags=ac?oszp
40+r     INC       Zv         unary lock flags=oszap
48+r     DEC       Zv         unary lock flags=oszap
50+r     PUSH      Zv         push
58+r     POP       Zv         pop
60       PUSHA                transfer.push_all cost=stack_many
61       POPA                 transfer.pop_all cost=stack_many
62       BOUND     Gv,Ma      transfer.bound T1=&M cost=system
63       ARPL      Ew,Gw      transfer.adjust_rpl late=E T3=G E=T0 modes=protected cost=system flags=z
68       PUSH      Iz         push
69       IMUL      Gv,Ev,Iz   imul cost=multiply flags=oc?szap
6A       PUSH      Is         push
6B       IMUL      Gv,Ev,Is
6C       INS       Yb,DX      string.string_instruction cost=port
6D       INS       Yv,DX
6E       OUTS      DX,Xb      string.string_instruction cost=port
6F       OUTS      DX,Xv
70+c     Jcc       Jb         jump_if cost=branch
80/0     ADD       Eb,Ib
80/1     OR        Eb,Ib
80/2     ADC       Eb,Ib
80/3     SBB       Eb,Ib
80/4     AND       Eb,Ib
80/5     SUB       Eb,Ib
80/6     XOR       Eb,Ib
80/7     CMP       Eb,Ib
81/0     ADD       Ev,Iz
81/1     OR        Ev,Iz
81/2     ADC       Ev,Iz
81/3     SBB       Ev,Iz
81/4     AND       Ev,Iz
81/5     SUB       Ev,Iz
81/6     XOR       Ev,Iz
81/7     CMP       Ev,Iz
82/0     ADD       Eb,Ib
82/1     OR        Eb,Ib
82/2     ADC       Eb,Ib
82/3     SBB       Eb,Ib
82/4     AND       Eb,Ib
82/5     SUB       Eb,Ib
82/6     XOR       Eb,Ib
82/7     CMP       Eb,Ib
83/0     ADD       Ev,Is
83/1     OR        Ev,Is
83/2     ADC       Ev,Is
83/3     SBB       Ev,Is
83/4     AND       Ev,Is
83/5     SUB       Ev,Is
83/6     XOR       Ev,Is
83/7     CMP       Ev,Is
84       TEST      Eb,Gb      alu flags=oszpc?a
85       TEST      Ev,Gv
86       XCHG      Eb,Gb      xchg lock
87       XCHG      Ev,Gv
88       MOV       Eb,Gb      move
89       MOV       Ev,Gv
8A       MOV       Gb,Eb
8B       MOV       Gv,Ev
8C       MOV       Ev,Sw      from_segment
8D       LEA       Gv,M       lea
8E       MOV       Sw,Ew      transfer.move_to_segment(MOV_TO_SEGMENT) T0=E cost=segment
8F/0     POP       Ev         pop
90       NOP                  nop
90+r     XCHG      rAX,Zv
98       CBW                  cbw
99       CWD                  cwd
9A       CALLF     Ap         transfer.jump_far cost=far
9B       WAIT                 x87.nothing control cost=float_move
9C       PUSHF                system.push_flags cost=system
9D       POPF                 system.pop_flags cost=system flags=oszapc
9E       SAHF                 system.store_ah flags=szapc
9F       LAHF                 system.load_ah
A0       MOV       AL,Ob
A1       MOV       rAX,Ov
A2       MOV       Ob,AL
A3       MOV       Ov,rAX
A4       MOVS      Yb,Xb      string.string_instruction cost=string
A5       MOVS      Yv,Xv
A6       CMPS      Xb,Yb      string.string_instruction cost=string flags=oszapc
A7       CMPS      Xv,Yv
A8       TEST      AL,Ib
A9       TEST      rAX,Iz
AA       STOS      Yb,AL      string.string_instruction cost=string
AB       STOS      Yv,rAX
AC       LODS      AL,Xb      string.string_instruction cost=string
AD       LODS      rAX,Xv
AE       SCAS      AL,Yb      string.string_instruction cost=string flags=oszapc
AF       SCAS      rAX,Yv
B0+r     MOV       Zb,Ib
B8+r     MOV       Zv,Iz
C0/0     ROL       Eb,Ib      shift arithmetic.shift_operand flags=oc
C0/1     ROR       Eb,Ib      shift arithmetic.shift_operand flags=oc
C0/2     RCL       Eb,Ib      shift arithmetic.shift_operand flags=oc
C0/3     RCR       Eb,Ib      shift arithmetic.shift_operand flags=oc
C0/4     SHL       Eb,Ib      shift arithmetic.shift_operand flags=oszpc?a
C0/5     SHR       Eb,Ib      shift arithmetic.shift_operand flags=oszpc?a
C0/6     SHL       Eb,Ib
C0/7     SAR       Eb,Ib      shift arithmetic.shift_operand flags=oszpc?a
C1/0     ROL       Ev,Ib
C1/1     ROR       Ev,Ib
C1/2     RCL       Ev,Ib
C1/3     RCR       Ev,Ib
C1/4     SHL       Ev,Ib
C1/5     SHR       Ev,Ib
C1/6     SHL       Ev,Ib
C1/7     SAR       Ev,Ib
C2       RET       Iw         return cost=call
C3       RET
C4       LES       Gv,Mp      transfer.load_pointer(target=ES) T1=&M cost=segment
C5       LDS       Gv,Mp      transfer.load_pointer(target=DS) T1=&M cost=segment
C6/0     MOV       Eb,Ib
C7/0     MOV       Ev,Iz
C8       ENTER     Iw,Ib      transfer.enter cost=stack_many
C9       LEAVE                leave
CA       RETF      Iw         transfer.far_return(extra=immediate) cost=far
CB       RETF
CC       INT3                 transfer.software_interrupt(vector=BP,kind=SOFTWARE_TRAP) cost=gate
CD       INT       Ib         transfer.software_interrupt(vector=immediate,kind=SOFTWARE) cost=gate
CE       INTO                 transfer.interrupt_on_overflow
CF       IRET                 transfer.interrupt_return cost=iret flags=oszapc
D0/0     ROL       Eb,1
D0/1     ROR       Eb,1
D0/2     RCL       Eb,1
D0/3     RCR       Eb,1
D0/4     SHL       Eb,1
D0/5     SHR       Eb,1
D0/6     SHL       Eb,1
D0/7     SAR       Eb,1
D1/0     ROL       Ev,1
D1/1     ROR       Ev,1
D1/2     RCL       Ev,1
D1/3     RCR       Ev,1
D1/4     SHL       Ev,1
D1/5     SHR       Ev,1
D1/6     SHL       Ev,1
D1/7     SAR       Ev,1
D2/0     ROL       Eb,CL
D2/1     ROR       Eb,CL
D2/2     RCL       Eb,CL
D2/3     RCR       Eb,CL
D2/4     SHL       Eb,CL
D2/5     SHR       Eb,CL
D2/6     SHL       Eb,CL
D2/7     SAR       Eb,CL
D3/0     ROL       Ev,CL
D3/1     ROR       Ev,CL
D3/2     RCL       Ev,CL
D3/3     RCR       Ev,CL
D3/4     SHL       Ev,CL
D3/5     SHR       Ev,CL
D3/6     SHL       Ev,CL
D3/7     SAR       Ev,CL
D4       AAM       Ib         arithmetic.adjust_after_multiply(base=immediate) cost=bcd flags=szp?oac
D5       AAD       Ib         arithmetic.adjust_before_divide(base=immediate) cost=bcd flags=szp?oac
D6       SALC                 arithmetic.set_al_on_carry cost=bcd
D7       XLAT                 xlat
D8/0m    FADD      Md         x87.calculate single cost=float_add
D8/1m    FMUL      Md         x87.calculate single cost=float_multiply
D8/2m    FCOM      Md         x87.compare_with single cost=float_add
D8/3m    FCOMP     Md         x87.compare_with(FCOM) single pop cost=float_add
D8/4m    FSUB      Md         x87.calculate single cost=float_add
D8/5m    FSUBR     Md         x87.calculate single cost=float_add
D8/6m    FDIV      Md         x87.calculate single cost=float_divide
D8/7m    FDIVR     Md         x87.calculate single cost=float_divide
D8/0r    FADD      ST0,STi    x87.calculate cost=float_add
D8/1r    FMUL      ST0,STi    x87.calculate cost=float_multiply
D8/2r    FCOM      STi        x87.compare_with cost=float_add
D8/3r    FCOMP     STi        x87.compare_with(FCOM) pop cost=float_add
D8/4r    FSUB      ST0,STi    x87.calculate cost=float_add
D8/5r    FSUBR     ST0,STi    x87.calculate cost=float_add
D8/6r    FDIV      ST0,STi    x87.calculate cost=float_divide
D8/7r    FDIVR     ST0,STi    x87.calculate cost=float_divide
D9/0m    FLD       Md         x87.load single cost=float_move
D9/2m    FST       Md         x87.store single writes cost=float_move
D9/3m    FSTP      Md         x87.store single pop writes cost=float_move
D9/4m    FLDENV    M          x87.load_environment control cost=float_state
D9/5m    FLDCW     Mw         x87.load_control int16 control cost=float_move
D9/6m    FNSTENV   M          x87.store_environment control no_wait cost=float_state
D9/7m    FNSTCW    Mw         x87.store_control int16 control no_wait cost=float_move
D9/0r    FLD       STi        x87.load cost=float_move
D9/1r    FXCH      STi        x87.exchange cost=float_move
D9/2r0   FNOP                 x87.nothing cost=float_move
D9/3r    FSTPNCE   STi        x87.store_or_drop pop cost=float_move
D9/4r0   FCHS                 x87.change_sign cost=float_move
D9/4r1   FABS                 x87.change_sign cost=float_move
D9/4r4   FTST                 x87.compare_with cost=float_add
D9/4r5   FXAM                 x87.class_codes cost=float_move
D9/5r0   FLD1                 x87.load_constant(FLD_CONSTANT) cost=float_move
D9/5r1   FLDL2T               x87.load_constant(FLD_CONSTANT) cost=float_move
D9/5r2   FLDL2E               x87.load_constant(FLD_CONSTANT) cost=float_move
D9/5r3   FLDPI                x87.load_constant(FLD_CONSTANT) cost=float_move
D9/5r4   FLDLG2               x87.load_constant(FLD_CONSTANT) cost=float_move
D9/5r5   FLDLN2               x87.load_constant(FLD_CONSTANT) cost=float_move
D9/5r6   FLDZ                 x87.load_constant(FLD_CONSTANT) cost=float_move
D9/6r0   F2XM1                x87.function_of_one cost=float_series
D9/6r1   FYL2X                x87.function_of_two cost=float_series
D9/6r2   FPTAN                x87.function_with_two_results cost=float_series
D9/6r3   FPATAN               x87.function_of_two cost=float_series
D9/6r4   FXTRACT              x87.function_with_two_results cost=float_divide
D9/6r5   FPREM1               x87.function_of_two cost=float_divide
D9/6r6   FDECSTP              x87.turn_stack(by=7) cost=float_move
D9/6r7   FINCSTP              x87.turn_stack(by=1) cost=float_move
D9/7r0   FPREM                x87.function_of_two cost=float_divide
D9/7r1   FYL2XP1              x87.function_of_two cost=float_series
D9/7r2   FSQRT                x87.function_of_one cost=float_root
D9/7r3   FSINCOS              x87.function_with_two_results cost=float_series
D9/7r4   FRNDINT              x87.function_of_one cost=float_divide
D9/7r5   FSCALE               x87.function_of_two cost=float_divide
D9/7r6   FSIN                 x87.function_of_one cost=float_series
D9/7r7   FCOS                 x87.function_of_one cost=float_series
DA/0m    FIADD     Md         x87.calculate(FADD) int32 cost=float_add
DA/1m    FIMUL     Md         x87.calculate(FMUL) int32 cost=float_multiply
DA/2m    FICOM     Md         x87.compare_with(FCOM) int32 cost=float_add
DA/3m    FICOMP    Md         x87.compare_with(FCOM) int32 pop cost=float_add
DA/4m    FISUB     Md         x87.calculate(FSUB) int32 cost=float_add
DA/5m    FISUBR    Md         x87.calculate(FSUBR) int32 cost=float_add
DA/6m    FIDIV     Md         x87.calculate(FDIV) int32 cost=float_divide
DA/7m    FIDIVR    Md         x87.calculate(FDIVR) int32 cost=float_divide
DA/0r    FCMOVB    ST0,STi    x87.move_if cost=float_add
DA/1r    FCMOVE    ST0,STi    x87.move_if cost=float_add
DA/2r    FCMOVBE   ST0,STi    x87.move_if cost=float_add
DA/3r    FCMOVU    ST0,STi    x87.move_if cost=float_add
DA/5r1   FUCOMPP              x87.compare_with(FUCOM) pop2 cost=float_add
DB/0m    FILD      Md         x87.load int32 cost=float_move
DB/2m    FIST      Md         x87.store int32 writes cost=float_move
DB/3m    FISTP     Md         x87.store int32 pop writes cost=float_move
DB/5m    FLD       Mt         x87.load extended cost=float_move
DB/7m    FSTP      Mt         x87.store extended pop writes cost=float_move
DB/0r    FCMOVNB   ST0,STi    x87.move_if cost=float_add
DB/1r    FCMOVNE   ST0,STi    x87.move_if cost=float_add
DB/2r    FCMOVNBE  ST0,STi    x87.move_if cost=float_add
DB/3r    FCMOVNU   ST0,STi    x87.move_if cost=float_add
DB/4r0   FNENI                x87.nothing control no_wait cost=float_move
DB/4r1   FNDISI               x87.nothing control no_wait cost=float_move
DB/4r2   FNCLEX               x87.clear_exceptions control no_wait cost=float_move
DB/4r3   FNINIT               x87.initialize control no_wait cost=float_state
DB/4r4   FSETPM               x87.nothing control no_wait cost=float_move
DB/5r    FUCOMI    ST0,STi    x87.compare_with cost=float_add flags=oszapc
DB/6r    FCOMI     ST0,STi    x87.compare_with cost=float_add flags=oszapc
DC/0m    FADD      Mq         x87.calculate double cost=float_add
DC/1m    FMUL      Mq         x87.calculate double cost=float_multiply
DC/2m    FCOM      Mq         x87.compare_with double cost=float_add
DC/3m    FCOMP     Mq         x87.compare_with(FCOM) double pop cost=float_add
DC/4m    FSUB      Mq         x87.calculate double cost=float_add
DC/5m    FSUBR     Mq         x87.calculate double cost=float_add
DC/6m    FDIV      Mq         x87.calculate double cost=float_divide
DC/7m    FDIVR     Mq         x87.calculate double cost=float_divide
DC/0r    FADD      STi,ST0    x87.calculate to_sti cost=float_add
DC/1r    FMUL      STi,ST0    x87.calculate to_sti cost=float_multiply
DC/2r    FCOM      STi        x87.compare_with cost=float_add
DC/3r    FCOMP     STi        x87.compare_with(FCOM) pop cost=float_add
DC/4r    FSUBR     STi,ST0    x87.calculate to_sti cost=float_add
DC/5r    FSUB      STi,ST0    x87.calculate to_sti cost=float_add
DC/6r    FDIVR     STi,ST0    x87.calculate to_sti cost=float_divide
DC/7r    FDIV      STi,ST0    x87.calculate to_sti cost=float_divide
DD/0m    FLD       Mq         x87.load double cost=float_move
DD/2m    FST       Mq         x87.store double writes cost=float_move
DD/3m    FSTP      Mq         x87.store double pop writes cost=float_move
DD/4m    FRSTOR    M          x87.restore control cost=float_state
DD/6m    FNSAVE    M          x87.save control no_wait cost=float_state
DD/7m    FNSTSW    Mw         x87.store_status int16 control no_wait cost=float_move
DD/0r    FFREE     STi        x87.set_free cost=float_move
DD/1r    FXCH      STi
DD/2r    FST       STi        x87.store cost=float_move
DD/3r    FSTP      STi        x87.store pop cost=float_move
DD/4r    FUCOM     STi        x87.compare_with cost=float_add
DD/5r    FUCOMP    STi        x87.compare_with(FUCOM) pop cost=float_add
DE/0m    FIADD     Mw         x87.calculate(FADD) int16 cost=float_add
DE/1m    FIMUL     Mw         x87.calculate(FMUL) int16 cost=float_multiply
DE/2m    FICOM     Mw         x87.compare_with(FCOM) int16 cost=float_add
DE/3m    FICOMP    Mw         x87.compare_with(FCOM) int16 pop cost=float_add
DE/4m    FISUB     Mw         x87.calculate(FSUB) int16 cost=float_add
DE/5m    FISUBR    Mw         x87.calculate(FSUBR) int16 cost=float_add
DE/6m    FIDIV     Mw         x87.calculate(FDIV) int16 cost=float_divide
DE/7m    FIDIVR    Mw         x87.calculate(FDIVR) int16 cost=float_divide
DE/0r    FADDP     STi,ST0    x87.calculate(FADD) pop to_sti cost=float_add
DE/1r    FMULP     STi,ST0    x87.calculate(FMUL) pop to_sti cost=float_multiply
DE/2r    FCOMP     STi        x87.compare_with(FCOM) pop cost=float_add
DE/4r    FSUBRP    STi,ST0    x87.calculate(FSUBR) pop to_sti cost=float_add
DE/5r    FSUBP     STi,ST0    x87.calculate(FSUB) pop to_sti cost=float_add
DE/6r    FDIVRP    STi,ST0    x87.calculate(FDIVR) pop to_sti cost=float_divide
DE/7r    FDIVP     STi,ST0    x87.calculate(FDIV) pop to_sti cost=float_divide
DE/3r1   FCOMPP               x87.compare_with(FCOM) pop2 cost=float_add
DF/0m    FILD      Mw         x87.load int16 cost=float_move
DF/2m    FIST      Mw         x87.store int16 writes cost=float_move
DF/3m    FISTP     Mw         x87.store int16 pop writes cost=float_move
DF/4m    FBLD      Mt         x87.load bcd cost=float_move
DF/5m    FILD      Mq         x87.load int64 cost=float_move
DF/6m    FBSTP     Mt         x87.store bcd pop writes cost=float_move
DF/7m    FISTP     Mq         x87.store int64 pop writes cost=float_move
DF/0r    FFREEP    STi        x87.set_free pop cost=float_move
DF/1r    FXCH      STi
DF/2r    FSTP      STi        x87.store pop cost=float_move
DF/3r    FSTP      STi        x87.store pop cost=float_move
DF/4r0   FNSTSW    AX         x87.store_status control no_wait cost=float_move
DF/5r    FUCOMIP   ST0,STi    x87.compare_with(FUCOMI) pop cost=float_add flags=oszapc
DF/6r    FCOMIP    ST0,STi    x87.compare_with(FCOMI) pop cost=float_add flags=oszapc
E0       LOOPNE    Jb         loop cost=branch
E1       LOOPE     Jb         loop cost=branch
E2       LOOP      Jb         loop cost=branch
E3       JCXZ      Jb         loop cost=branch
E4       IN        AL,Ib      system.port_in port=Ib cost=port
E5       IN        rAX,Ib
E6       OUT       Ib,AL      system.port_out port=Ib cost=port
E7       OUT       Ib,rAX
E8       CALL      Jz         call cost=call
E9       JMP       Jz         jump cost=branch
EA       JMPF      Ap         transfer.jump_far cost=far
EB       JMP       Jb
EC       IN        AL,DX      system.port_in port=DX cost=port
ED       IN        rAX,DX     system.port_in port=DX cost=port
EE       OUT       DX,AL      system.port_out port=DX cost=port
EF       OUT       DX,rAX     system.port_out port=DX cost=port
F1       INT1                 transfer.software_interrupt(vector=DB,kind=ICEBP) cost=gate
F4       HLT                  system.halt cost=system
F5       CMC                  carry flags=c
F6/0     TEST      Eb,Ib
F6/1     TEST      Eb,Ib
F6/2     NOT       Eb         unary lock
F6/3     NEG       Eb         unary lock flags=oszapc
F6/4     MUL       Eb         arithmetic.multiply(signed=0) T0=E cost=multiply flags=oc?szap
F6/5     IMUL      Eb         arithmetic.multiply(signed=1) T0=E cost=multiply flags=oc?szap
F6/6     DIV       Eb         arithmetic.divide(signed=0) T0=E cost=divide flags=?oszapc
F6/7     IDIV      Eb         arithmetic.divide(signed=1) T0=E cost=divide flags=?oszapc
F7/0     TEST      Ev,Iz
F7/1     TEST      Ev,Iz
F7/2     NOT       Ev
F7/3     NEG       Ev
F7/4     MUL       Ev
F7/5     IMUL      Ev         arithmetic.multiply(signed=1) T0=E cost=multiply flags=oc?szap
F7/6     DIV       Ev
F7/7     IDIV      Ev
F8       CLC                  carry flags=c
F9       STC                  carry flags=c
FA       CLI                  system.clear_interrupt_flag cost=system
FB       STI                  system.set_interrupt_flag cost=system
FC       CLD                  system.set_direction(value=0)
FD       STD                  system.set_direction(value=1)
FE/0     INC       Eb
FE/1     DEC       Eb
FF/0     INC       Ev
FF/1     DEC       Ev
FF/2     CALL      Ev
FF/3m    CALLF     Mp         transfer.jump_far T1=&M cost=far
FF/4     JMP       Ev
FF/5m    JMPF      Mp         transfer.jump_far T1=&M cost=far
FF/6     PUSH      Ev         push
0F 00/0  SLDT      Ev         system.store_selector(seg=LDTR) E=T0 word modes=protected cost=system
0F 00/1  STR       Ev         system.store_selector(seg=TR) E=T0 word modes=protected cost=system
0F 00/2  LLDT      Ew         system.load_local_table late=E modes=protected cost=segment
0F 00/3  LTR       Ew         system.load_task_register late=E modes=protected cost=segment
0F 00/4  VERR      Ew         transfer.query_descriptor late=E modes=protected cost=system flags=z
0F 00/5  VERW      Ew         transfer.query_descriptor late=E modes=protected cost=system flags=z
0F 01/0m SGDT      Ms         system.store_table(is_idt=0) T1=&M cost=system
0F 01/1m SIDT      Ms         system.store_table(is_idt=1) T1=&M cost=system
0F 01/2m LGDT      Ms         system.load_table(is_idt=0) T1=&M cost=system
0F 01/3m LIDT      Ms         system.load_table(is_idt=1) T1=&M cost=system
0F 01/4  SMSW      Ev         system.store_machine_status E=T0 word cost=system
0F 01/6  LMSW      Ew         system.load_machine_status late=E cost=system
0F 01/7m INVLPG    M          system.invalidate_linear T1=&M cost=flush
0F 02    LAR       Gv,Ew      transfer.query_descriptor late=E modes=protected cost=system flags=z
0F 03    LSL       Gv,Ew      transfer.query_descriptor late=E modes=protected cost=system flags=z
0F 06    CLTS                 system.clear_task_switched cost=system
0F 08    INVD                 system.flush_caches cost=flush
0F 09    WBINVD               system.flush_caches cost=flush
0F 0B    UD2                  undefined
0F 18+r  NOP       Ev
0F 20    MOV       Rd,Cd      system.move_from_control R=T0 cost=control
0F 21    MOV       Rd,Dd      system.move_from_debug R=T0 cost=control
0F 22    MOV       Cd,Rd      system.move_to_control(MOV_TO_CR) T0=R cost=control
0F 23    MOV       Dd,Rd      system.move_to_debug(MOV_TO_DR) T0=R cost=control
0F 30    WRMSR                system.write_msr cost=msr
0F 31    RDTSC                system.read_time_stamp cost=system
0F 32    RDMSR                system.read_msr cost=msr
0F 34    SYSENTER             transfer.system_enter cost=sysenter
0F 35    SYSEXIT              transfer.system_exit cost=sysenter
0F 40+c  CMOVcc    Gv,Ev      move_if
0F 80+c  Jcc       Jz
0F 90+c  SETcc     Eb         set_if
0F A0    PUSH      FS
0F A1    POP       FS
0F A2    CPUID                system.identify cost=cpuid
0F A3    BT        Ev,Gv      bit flags=c?oszap
0F A4    SHLD      Ev,Gv,Ib   shift_double arithmetic.double_shift_operand cost=shift_double flags=oszpc?a
0F A5    SHLD      Ev,Gv,CL
0F A8    PUSH      GS
0F A9    POP       GS
0F AB    BTS       Ev,Gv      bit lock flags=c?oszap
0F AC    SHRD      Ev,Gv,Ib   shift_double arithmetic.double_shift_operand cost=shift_double flags=oszpc?a
0F AD    SHRD      Ev,Gv,CL
0F AE/0m FXSAVE    M          x87.save_fast control no_wait cost=float_state
0F AE/1m FXRSTOR   M          x87.restore_fast control no_wait cost=float_state
0F AF    IMUL      Gv,Ev
0F B0    CMPXCHG   Eb,Gb      cmpxchg lock flags=oszapc
0F B1    CMPXCHG   Ev,Gv
0F B2    LSS       Gv,Mp      transfer.load_pointer(target=SS) T1=&M cost=segment
0F B3    BTR       Ev,Gv      bit lock flags=c?oszap
0F B4    LFS       Gv,Mp      transfer.load_pointer(target=FS) T1=&M cost=segment
0F B5    LGS       Gv,Mp      transfer.load_pointer(target=GS) T1=&M cost=segment
0F B6    MOVZX     Gv,Eb      extend
0F B7    MOVZX     Gv,Ew
0F B9    UD1       Gv,Ev      undefined
0F BA/4  BT        Ev,Ib
0F BA/5  BTS       Ev,Ib
0F BA/6  BTR       Ev,Ib
0F BA/7  BTC       Ev,Ib      bit lock flags=c?oszap
0F BB    BTC       Ev,Gv
0F BC    BSF       Gv,Ev      bit_scan cost=bit_scan flags=z?osapc
0F BD    BSR       Gv,Ev      bit_scan cost=bit_scan flags=z?osapc
0F BE    MOVSX     Gv,Eb      extend
0F BF    MOVSX     Gv,Ew
0F C0    XADD      Eb,Gb      xadd lock flags=oszapc
0F C1    XADD      Ev,Gv
0F C7/1m CMPXCHG8B Mq         arithmetic.compare_exchange_8_bytes T1=&M lock flags=z
0F C8+r  BSWAP     Zv         bswap
0F FF    UD0       Gv,Ev      undefined
"""

CONDITIONS = "O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE".split()

# The bytes that may precede an opcode (manual 2A, 2.1.1)
LOCK, REPNE, REP, OPERAND_SIZE, ADDRESS_SIZE = 0xF0, 0xF2, 0xF3, 0x66, 0x67
SEGMENT_PREFIXES = {"ES": 0x26, "CS": 0x2E, "SS": 0x36, "DS": 0x3E, "FS": 0x64, "GS": 0x65}
PREFIXES = frozenset((LOCK, REPNE, REP, OPERAND_SIZE, ADDRESS_SIZE, *SEGMENT_PREFIXES.values()))
TWO_BYTE = 0x0F  #: an opcode of the second map follows
ESCAPE, ESCAPE_MASK = 0xD8, 0xF8  #: D8 to DF: the coprocessor's


@dataclass(frozen=True)
class Action:
    """How the machine executes an instruction: what a row says after its operands."""

    recipe: str  #: how the decoder makes micro-ops: ``assist`` and ``x87`` hand it to the unit
    unit: str = ""  #: the unit and its function, ...
    call: str = ""  #: ... with the parameters that the row gives: ``divide(signed=1)``
    asked: str = ""  #: what the function is asked for: FSUB
    moves: tuple[tuple[str, str], ...] = ()  #: ("T0", "E"): to the unit; ("E", "T0"): back
    words: frozenset[str] = frozenset()
    modes: str = ""  #: ``protected``: does not exist elsewhere
    cost: str = "simple"
    written: str = ""  #: flags, as letters of "oszapc"
    undefined: str = ""


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
    action: Action = Action("undefined")
    prefix: int | None = None  #: 66, F2 or F3 where it belongs to the opcode

    @property
    def notation(self) -> str:
        """The opcode as TABLE writes it, e.g. ``0F C7/1m``."""
        text = "" if self.prefix is None else f"{self.prefix:02X} "
        text += ("0F " if self.two_byte else "") + f"{self.opcode:02X}"
        rm = "" if self.rm is None else str(self.rm)
        return text + (f"/{self.reg}{self.mod}{rm}" if self.reg is not None else "")

    @property
    def is_x87(self) -> bool:
        """Whether the opcode is one of the eight escapes to the coprocessor."""
        return not self.two_byte and self.opcode & ESCAPE_MASK == ESCAPE

    @property
    def has_modrm(self) -> bool:
        return self.reg is not None or any(o[0] in "EGMRSCD" and o not in _IMPLIED for o in self.operands)

    @property
    def lockable(self) -> bool:
        return "lock" in self.action.words and self.operands[0][0] in "EM"

    def __str__(self) -> str:
        return f"{self.notation:10} {self.mnemonic} {','.join(self.operands)}".rstrip()


_IMPLIED = frozenset("AL CL AX DX rAX ES CS SS DS FS GS ST0 STi 1".split())
_OPERANDS = re.compile(r"(?:r?[A-Z]\w*|1)(?:,(?:r?[A-Z]\w*|1))*")  # as in the manual: a capital first
_FUNCTION = re.compile(r"(\w+)\.(\w+)(?:\((.*)\))?")


def _action(columns: list[str], mnemonic: str) -> Action:
    said: dict[str, str] = {}
    moves, words = [], set()
    for column in columns:
        function = _FUNCTION.fullmatch(column)
        name, _, value = column.partition("=")
        if function:
            said["unit"], call, given = function[1], function[2], function[3] or ""
            said["asked"] = given if given.isidentifier() else mnemonic
            said["call"] = f"{call}({given})" if "=" in given else call
            said.setdefault("recipe", "x87" if function[1] == "x87" else "assist")
        elif name == "flags":
            said["written"], _, said["undefined"] = value.partition("?")
        elif name in ("cost", "modes"):
            said[name] = value
        elif value:
            moves.append((name, value))
        elif "recipe" not in said:
            said["recipe"] = name
        else:
            words.add(name)
    return Action(moves=tuple(moves), words=frozenset(words), **said)


def _parse(text: str) -> tuple[Row, ...]:
    rows: list[Row] = []
    actions: dict[str, Action] = {}
    for line in text.strip().splitlines():
        fields = line.split()
        prefix = int(fields.pop(0), 16) if fields[1] == "0F" else None
        two_byte = fields[0] == "0F"
        if two_byte:
            fields.pop(0)
        code, mnemonic, *rest = fields
        operands = tuple(rest.pop(0).split(",")) if rest and _OPERANDS.fullmatch(rest[0]) else ()
        action = _action(rest, mnemonic) if rest else actions[mnemonic]
        actions.setdefault(mnemonic, action)
        first, reg, mod, rm = int(code[:2], 16), None, "", None
        if code[2:3] == "/":
            reg, mod = int(code[3]), code[4:5]
            rm = int(code[5]) if code[5:] else None
        count = {"+r": 8, "+c": 16}.get(code[2:4], 1)
        for i in range(count):
            if mnemonic == "XCHG" and count == 8 and i == 0:
                continue  # 90 is NOP
            name = mnemonic.replace("cc", CONDITIONS[i]) if count == 16 else mnemonic
            number, opcode = len(rows), first + i
            rows.append(Row(number, opcode, two_byte, reg, mod, name, mnemonic, operands, rm, action, prefix))
    return tuple(rows)


ROWS: tuple[Row, ...] = _parse(TABLE)

#: By the mnemonic of TABLE: flags written, flags undefined
FLAGS_WRITTEN_UNDEFINED = {
    row.operation: (row.action.written, row.action.undefined)
    for row in ROWS
    if row.action.written or row.action.undefined
}


def rows_for(mnemonic: str) -> tuple[Row, ...]:
    """All rows of one mnemonic, e.g. ``rows_for("ADD")``; upper case, as in the manual."""
    return tuple(row for row in ROWS if mnemonic in (row.mnemonic, row.operation))


def opcode(mnemonic: str, *operands: str) -> int:
    """The opcode of a mnemonic that has one, or of the form with these operands."""
    (row,) = (row for row in rows_for(mnemonic) if not operands or row.operands == operands)
    return row.opcode
