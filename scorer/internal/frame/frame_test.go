package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/scorer/internal/frame"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		type pair struct{ header, body []byte }
		sent := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) pair {
			return pair{rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "header"), rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "body")}
		}), 1, 5).Draw(t, "frames")
		for _, p := range sent {
			if err := frame.Write(&wire, p.header, p.body); err != nil {
				t.Fatal(err)
			}
		}
		for i, p := range sent {
			c, err := frame.Read(&wire)
			if err != nil || !bytes.Equal(c.Header, p.header) || !bytes.Equal(c.Body, p.body) || c.Detached {
				t.Fatalf("frame %d: got %+v %v, want %q %q", i, c, err, p.header, p.body)
			}
		}
		if _, err := frame.Read(&wire); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last frame: %v, want EOF", err)
		}
	})
}

func TestLargeBody(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	var wire bytes.Buffer
	if err := frame.Write(&wire, []byte("{}"), body); err != nil {
		t.Fatal(err)
	}
	got, err := frame.Read(&wire)
	if err != nil || !bytes.Equal(got.Body, body) {
		t.Fatalf("read %d bytes, %v; want %d", len(got.Body), err, len(body))
	}
}

func TestReadRefuses(t *testing.T) {
	prefix := func(header, body uint32) []byte {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, header), body)
	}
	tests := map[string]struct {
		wire []byte
		want error
	}{
		"nothing":                  {nil, io.EOF},
		"cut prefix":               {[]byte{0, 0}, io.ErrUnexpectedEOF},
		"cut header":               {append(prefix(5, 0), "ab"...), io.ErrUnexpectedEOF},
		"no header":                {prefix(5, 0), io.ErrUnexpectedEOF},
		"cut body":                 {append(prefix(2, 5), "{}ab"...), io.ErrUnexpectedEOF},
		"claims 4 GiB, has 3":      {append(prefix(0, frame.MaxBody), "abc"...), io.ErrUnexpectedEOF},
		"header beyond the limit":  {prefix(frame.MaxHeader+1, 0), frame.ErrTooLarge},
		"text instead of a prefix": {[]byte("Traceback (most recent call last)"), frame.ErrTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := frame.Read(bytes.NewReader(test.wire)); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestWriteRefusesLongHeader(t *testing.T) {
	var wire bytes.Buffer
	err := frame.Write(&wire, make([]byte, frame.MaxHeader+1), nil)
	if !errors.Is(err, frame.ErrTooLarge) || wire.Len() != 0 {
		t.Errorf("got %v with %d bytes written, want ErrTooLarge and none", err, wire.Len())
	}
}

// room is a writer that takes so many bytes.
type room struct{ left int }

func (r *room) Write(p []byte) (int, error) {
	n := min(len(p), r.left)
	r.left -= n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func TestWriteTellsWhetherTheFrameHasBegun(t *testing.T) {
	const whole = 8 + 2 + 1<<20
	for taken, begun := range map[int]bool{0: false, 1: true, 9: true, 10: true, 11: true, whole - 1: true} {
		err := frame.Write(&room{taken}, []byte("{}"), make([]byte, 1<<20))
		if !errors.Is(err, io.ErrShortWrite) || errors.Is(err, frame.ErrCutOff) != begun {
			t.Errorf("after %d bytes: %v, want ErrCutOff: %v", taken, err, begun)
		}
	}
	if err := frame.Write(&room{whole}, []byte("{}"), make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02\x00\x00\x00\x01{}x"))
	f.Add([]byte("\x80\x00\x00\x01\x7f\xff\xff\xff{"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		c, err := frame.Read(bytes.NewReader(wire))
		if err != nil {
			return
		}
		if c.Detached {
			if c.Body != nil {
				t.Fatalf("a detached body of %d bytes was read", len(c.Body))
			}
			return
		}
		var again bytes.Buffer
		if err := frame.Write(&again, c.Header, c.Body); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(wire, again.Bytes()) {
			t.Fatalf("read %q, wrote %q", wire, again.Bytes())
		}
	})
}
