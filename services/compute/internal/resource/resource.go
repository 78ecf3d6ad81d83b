// Package resource holds amounts of what nodes have and replicas take. It is
// pure; values are immutable and safe for concurrent use.
package resource

import (
	"math"
	"strconv"
)

const (
	milli = 1000
	gib   = 1 << 30
)

// Amount is an amount of processors, memory and accelerators. Processors are
// counted in thousandths, so that sums of small requests are exact.
type Amount struct {
	MilliCPU    int64 `json:"milliCpu,omitempty"`
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	GPUs        int   `json:"gpus,omitempty"`
}

// Of makes an amount of so many processors, bytes and accelerators.
func Of(vcpu float64, memoryBytes int64, gpus int) Amount {
	return Amount{MilliCPU: MilliCPU(vcpu), MemoryBytes: memoryBytes, GPUs: gpus}
}

// MilliCPU turns processors into thousandths, rounding up what is smaller.
func MilliCPU(vcpu float64) int64 { return int64(math.Ceil(vcpu*milli - 1e-6)) }

// VCPU gives the processors as a number.
func (a Amount) VCPU() float64 { return float64(a.MilliCPU) / milli }

// Plus gives the sum.
func (a Amount) Plus(b Amount) Amount {
	return Amount{MilliCPU: a.MilliCPU + b.MilliCPU, MemoryBytes: a.MemoryBytes + b.MemoryBytes, GPUs: a.GPUs + b.GPUs}
}

// Minus gives the difference, never below zero.
func (a Amount) Minus(b Amount) Amount {
	return Amount{
		MilliCPU:    max(0, a.MilliCPU-b.MilliCPU),
		MemoryBytes: max(0, a.MemoryBytes-b.MemoryBytes),
		GPUs:        max(0, a.GPUs-b.GPUs),
	}
}

// Times gives n times the amount.
func (a Amount) Times(n int) Amount {
	return Amount{MilliCPU: a.MilliCPU * int64(n), MemoryBytes: a.MemoryBytes * int64(n), GPUs: a.GPUs * n}
}

// Fits says whether a is no more than room in any respect.
func (a Amount) Fits(room Amount) bool {
	return a.MilliCPU <= room.MilliCPU && a.MemoryBytes <= room.MemoryBytes && a.GPUs <= room.GPUs
}

// String reads like "2 vCPU, 4 GB" or "6 vCPU, 56 GB, 1 GPU".
func (a Amount) String() string {
	text := CPU(a.MilliCPU) + " vCPU, " + Memory(a.MemoryBytes)
	switch a.GPUs {
	case 0:
	case 1:
		text += ", 1 GPU"
	default:
		text += ", " + strconv.Itoa(a.GPUs) + " GPUs"
	}
	return text
}

// CPU writes thousandths of processors as a number of processors: "0.1".
func CPU(milliCPU int64) string {
	return strconv.FormatFloat(float64(milliCPU)/milli, 'f', -1, 64)
}

// Memory writes bytes in gigabytes (2^30) with up to three decimals: "0.5 GB".
func Memory(bytes int64) string {
	return strconv.FormatFloat(math.Round(float64(bytes)/gib*milli)/milli, 'f', -1, 64) + " GB"
}
