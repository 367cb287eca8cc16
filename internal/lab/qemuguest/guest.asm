; What the lab's virtual machines run: one sector that the BIOS starts, no operating system.
;
;	nasm -f bin guest.asm -o guest.bin
;
; It fills a range of memory with numbers that do not repeat, then writes to so many pages of it a
; tick, round and round, and sends a byte on COM1 every so many ticks: 0x80 and a number that counts
; up, so that a reader sees both how long the guest stood and whether a beat was lost. Between ticks
; it halts; an idle guest costs the machine next to nothing.
;
; The words at PARAMS are replaced by whoever writes the image (qemuimage.go).

PARAMS	equ 0x7c00 + 480
STACK	equ 0x7000
IDT	equ 0x6000
COM1	equ 0x3f8
PMTIMER	equ 0x608			; ACPI's timer of QEMU's "pc", 3.579545 MHz, 24 bits
PIT	equ 1193182 / 1000		; wakes the processor each millisecond

	bits 16
	org 0x7c00

	cli
	xor ax, ax
	mov ds, ax
	in al, 0x92			; address line 20
	or al, 2
	and al, 0xfe
	out 0x92, al
	lgdt [gdtr]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp 8:flat

	bits 32
flat:	mov ax, 16
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK

	mov edi, IDT			; the BIOS left IRQ 0 to 7 at vectors 8 to 15
	mov ecx, 16
gate:	mov eax, 8 << 16 | (woken - $$ + 0x7c00)
	stosd
	mov eax, 0x8e00
	stosd
	loop gate
	lidt [idtr]
	mov al, 0xfe			; IRQ 0 alone
	out 0x21, al
	mov al, 0xff
	out 0xa1, al
	mov al, 0x34			; channel 0, both bytes, rate generator
	out 0x43, al
	mov al, PIT & 0xff
	out 0x40, al
	mov al, PIT >> 8
	out 0x40, al

	mov al, 'B'			; booted
	call send
	mov edi, [first]
	mov eax, 0x2545f491
fill:	cmp edi, [beyond]
	jae filled
	imul eax, eax, 1664525
	add eax, 1013904223
	stosd
	jmp fill
filled:	mov al, 'R'			; ready
	call send

	mov esi, [first]
	mov ebp, [beat]
	mov dx, PMTIMER
	in eax, dx
	mov ebx, eax			; when the current tick began
	sti
sleep:	hlt
late:	mov dx, PMTIMER
	in eax, dx
	sub eax, ebx
	and eax, 0xffffff
	cmp eax, [tick]
	jb sleep
	add ebx, [tick]
	mov ecx, [batch]
	jecxz clean
touch:	inc dword [esi + 64]
	add esi, 4096
	cmp esi, [beyond]
	jb inside
	mov esi, [first]
inside:	loop touch
clean:	dec ebp
	jnz late
	mov ebp, [beat]
	inc byte [number]
	mov al, [number]
	or al, 0x80
	call send
	jmp late

send:	mov dx, COM1
	out dx, al
	ret

woken:	push eax
	mov al, 0x20			; end of interrupt
	out 0x20, al
	pop eax
	iretd

number:	db 0
	align 8
gdt:	dq 0
	dq 0x00cf9a000000ffff
	dq 0x00cf92000000ffff
gdtr:	dw $ - gdt - 1
	dd gdt
idtr:	dw 16 * 8 - 1
	dd IDT

	times 480 - ($ - $$) db 0
first:	dd 4 << 20			; address of the first page of the working set
beyond:	dd 20 << 20			; address behind its last one
batch:	dd 0				; pages written a tick
tick:	dd 3580				; length of a tick by PMTIMER: 1 ms
beat:	dd 5				; ticks between two beats
	times 510 - ($ - $$) db 0
	dw 0xaa55
