package tensorjson

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/scorer/internal/tensor"
)

// Decode reads the elements of a tensor of that shape: an array nested as the shape is, or a flat one.
func Decode(data []byte, d tensor.Datatype, shape []int64) (tensor.Tensor, error) {
	want, err := tensor.Elements(shape)
	if err != nil {
		return tensor.Tensor{}, err
	}
	t, err := DecodeNested(data, d)
	if err != nil {
		return t, err
	}
	flat := len(t.Shape) == 1 && t.Len() == want
	nothing := t.Len() == 0 && want == 0 // nested as far as there is something to nest
	if !flat && !nothing && !slices.Equal(t.Shape, shape) {
		return t, fmt.Errorf("is nested as %v, the shape is %v", t.Shape, shape)
	}
	t.Shape = shape
	return t, nil
}

// DecodeNested reads the elements of a tensor whose shape follows from the nesting.
func DecodeNested(data []byte, d tensor.Datatype) (tensor.Tensor, error) {
	if d == tensor.Invalid || d > tensor.Bytes {
		return tensor.Tensor{}, fmt.Errorf("has no datatype")
	}
	p := decoder{scanner: scanner{text: data}, datatype: d, leaves: -1}
	if d != tensor.Bytes {
		p.raw = make([]byte, 0, min(len(data)/2, 1<<16)*d.Size())
	}
	if err := p.value(0); err != nil {
		return tensor.Tensor{}, err
	}
	if err := p.end(); err != nil {
		return tensor.Tensor{}, err
	}
	return tensor.Tensor{Datatype: d, Shape: p.shape[:p.leaves], Raw: p.raw, Strings: p.strings}, nil
}

// decoder reads nested arrays. All arrays of a depth must have the same length, all elements the same depth.
type decoder struct {
	scanner
	datatype tensor.Datatype
	raw      []byte
	strings  [][]byte
	shape    []int64 // by depth; what has not been seen whole is missing
	leaves   int     // depth of the elements, -1 while unknown
	path     []int   // where the decoder is
}

func (p *decoder) value(depth int) error {
	if depth > maxDepth {
		return p.wrong("less depth")
	}
	if p.space(); !p.take('[') {
		if err := p.leafDepth(depth); err != nil {
			return err
		}
		return p.leaf()
	}
	p.path = append(p.path, 0)
	n := 0
	if p.space(); !p.take(']') {
		for {
			p.path[depth] = n
			if err := p.value(depth + 1); err != nil {
				return err
			}
			n++
			if p.space(); p.take(']') {
				break
			}
			if !p.take(',') {
				return p.wrong("a comma or the array's end")
			}
		}
	} else if err := p.leafDepth(depth + 1); err != nil {
		return err
	}
	p.path = p.path[:depth]
	return p.length(depth, int64(n))
}

// leafDepth notes at which depth the elements lie.
func (p *decoder) leafDepth(depth int) error {
	if p.leaves < 0 {
		p.leaves = depth
		p.shape = slices.Repeat([]int64{-1}, depth)
	}
	if p.leaves != depth {
		return fmt.Errorf("is not evenly nested: %s is at depth %d, others are at %d", p.here(), depth, p.leaves)
	}
	return nil
}

func (p *decoder) length(depth int, n int64) error {
	if depth >= len(p.shape) {
		return fmt.Errorf("is not evenly nested: %s is an array among elements", p.here())
	}
	if p.shape[depth] < 0 {
		p.shape[depth] = n
	}
	if p.shape[depth] != n {
		return fmt.Errorf("is not evenly nested: %s has %d elements, others have %d", p.here(), n, p.shape[depth])
	}
	return nil
}

func (p *decoder) here() string {
	if len(p.path) == 0 {
		return "it"
	}
	var b strings.Builder
	b.WriteString("element ")
	for _, i := range p.path {
		fmt.Fprintf(&b, "[%d]", i)
	}
	return b.String()
}

// leaf reads one element.
func (p *decoder) leaf() error {
	start := p.pos
	if p.peek() == '"' {
		if err := p.skipString(); err != nil {
			return err
		}
		return p.quoted(p.text[start:p.pos])
	}
	word := p.word()
	switch d := p.datatype; {
	case len(word) == 0:
		return p.wrong("a value")
	case d == tensor.Bytes:
		return p.misfit(word, "a string")
	case d == tensor.Bool:
		switch string(word) {
		case "true":
			p.raw = append(p.raw, 1)
		case "false":
			p.raw = append(p.raw, 0)
		default:
			return p.misfit(word, "true or false")
		}
	case d.IsFloat():
		return p.float(word)
	default:
		return p.integer(word)
	}
	return nil
}

func (p *decoder) quoted(quoted []byte) error {
	value, err := text(quoted)
	switch {
	case err != nil:
		return p.misfit(quoted, "a valid string")
	case p.datatype == tensor.Bytes:
		p.strings = append(p.strings, []byte(value))
		return nil
	case p.datatype.IsFloat() && notFinite(value):
		return p.float([]byte(value))
	case p.datatype == tensor.Bool:
		return p.misfit(quoted, "true or false")
	}
	return p.misfit(quoted, "a number")
}

func notFinite(word string) bool { return word == "NaN" || word == "Infinity" || word == "-Infinity" }

func (p *decoder) float(word []byte) error {
	bits := 64
	if p.datatype == tensor.FP32 {
		bits = 32
	}
	if c := word[0]; c != '-' && (c < '0' || c > '9') && !notFinite(string(word)) {
		return p.misfit(word, "a number")
	}
	v, err := strconv.ParseFloat(string(word), bits)
	if err != nil {
		return p.misfit(word, "a number of "+p.datatype.String())
	}
	before := len(p.raw)
	p.raw = tensor.AppendFloat(p.raw, p.datatype, v)
	if math.IsInf(v, 0) || bits == 64 && p.datatype == tensor.FP64 {
		return p.plain(word)
	}
	last := tensor.Tensor{Datatype: p.datatype, Raw: p.raw[before:]}
	if math.IsInf(last.Float(0), 0) {
		return p.misfit(word, "a number of "+p.datatype.String())
	}
	return p.plain(word)
}

// plain refuses what strconv takes for a number and JSON does not.
func (p *decoder) plain(word []byte) error {
	for _, c := range word {
		if c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E' {
			continue
		}
		if notFinite(string(word)) {
			return nil
		}
		return p.misfit(word, "a number")
	}
	return nil
}

func (p *decoder) integer(word []byte) error {
	if p.datatype.IsSigned() {
		least, greatest := p.datatype.SignedRange()
		v, err := strconv.ParseInt(string(word), 10, 64)
		if err != nil {
			whole, ok := wholeFloat(word)
			if !ok {
				return p.misfit(word, fmt.Sprintf("a whole number from %d to %d", least, greatest))
			}
			v = int64(whole)
		}
		if v < least || v > greatest || word[0] == '+' {
			return p.misfit(word, fmt.Sprintf("a whole number from %d to %d", least, greatest))
		}
		p.raw = tensor.AppendInt(p.raw, p.datatype, uint64(v))
		return nil
	}
	greatest := p.datatype.UnsignedMax()
	v, err := strconv.ParseUint(string(word), 10, 64)
	if err != nil {
		whole, ok := wholeFloat(word)
		if !ok || whole < 0 {
			return p.misfit(word, fmt.Sprintf("a whole number from 0 to %d", greatest))
		}
		v = uint64(whole)
	}
	if v > greatest {
		return p.misfit(word, fmt.Sprintf("a whole number from 0 to %d", greatest))
	}
	p.raw = tensor.AppendInt(p.raw, p.datatype, v)
	return nil
}

// wholeFloat reads 3.0 or 1e3, which some write for whole numbers. It knows only those that floating-point numbers hold exactly.
func wholeFloat(word []byte) (float64, bool) {
	v, err := strconv.ParseFloat(string(word), 64)
	if err != nil || v != math.Trunc(v) || math.Abs(v) > 1<<53 || !strings.ContainsAny(string(word), ".eE") {
		return 0, false
	}
	c := word[0]
	return v, c == '-' || c >= '0' && c <= '9'
}

func (p *decoder) misfit(word []byte, want string) error {
	const enough = 40
	shown := string(word)
	if len(shown) > enough {
		shown = shown[:enough] + "…"
	}
	return fmt.Errorf("does not fit: %s is %s, it must be %s", p.here(), strings.ToValidUTF8(shown, "?"), want)
}
