package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// lengthSize is the size of the length before each element of BYTES.
const lengthSize = 4

// SplitBytes reads elements of BYTES, each behind its length in four little-endian bytes. They alias raw.
func SplitBytes(raw []byte) ([][]byte, error) {
	var out [][]byte
	for rest := raw; len(rest) > 0; {
		if len(rest) < lengthSize {
			return nil, fmt.Errorf("ends within the length of element %d", len(out))
		}
		n := uint64(binary.LittleEndian.Uint32(rest))
		if rest = rest[lengthSize:]; n > uint64(len(rest)) {
			return nil, fmt.Errorf("has %d bytes left, but element %d has %d", len(rest), len(out), n)
		}
		out = append(out, rest[:n:n])
		rest = rest[n:]
	}
	return out, nil
}

// Binary gives the elements as the protocol's binary form has them. The result may alias the tensor.
func (t Tensor) Binary() ([]byte, error) {
	if t.Datatype != Bytes {
		return t.Raw, nil
	}
	size := 0
	for i, s := range t.Strings {
		if len(s) > math.MaxUint32 {
			return nil, fmt.Errorf("element %d of %q is too long for the binary form", i, t.Name)
		}
		size += lengthSize + len(s)
	}
	out := make([]byte, 0, size)
	for _, s := range t.Strings {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(s))), s...)
	}
	return out, nil
}

// SetBinary gives the tensor the elements that raw has in the protocol's binary form. They alias raw.
func (t *Tensor) SetBinary(raw []byte) error {
	if t.Datatype != Bytes {
		t.Raw = raw
		return nil
	}
	var err error
	t.Strings, err = SplitBytes(raw)
	return err
}
