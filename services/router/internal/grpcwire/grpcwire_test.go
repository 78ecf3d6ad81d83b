package grpcwire

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// field spells a string field.
func field(number byte, value string) []byte {
	b := binary.AppendUvarint([]byte{number<<wireTypeBits | wireLength}, uint64(len(value)))
	return append(b, value...)
}

func zip(t testing.TB, message []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPeek(t *testing.T) {
	name, version := field(1, "diabetes"), field(2, "v1")
	rest := bytes.Repeat(field(7, "0123456789abcdef"), 10_000)
	long := append(append([]byte{}, name...), rest...)
	for label, test := range map[string]struct {
		message  []byte
		zipped   bool
		encoding string
		want     Model
		err      error
	}{
		"empty":             {nil, false, "", Model{}, nil},
		"name":              {name, false, "", Model{Name: "diabetes"}, nil},
		"name and version":  {append(append([]byte{}, name...), version...), false, "", Model{"diabetes", "v1"}, nil},
		"long":              {long, false, "", Model{Name: "diabetes"}, nil},
		"no name first":     {append(append([]byte{}, version...), name...), false, "", Model{}, nil},
		"name cut off":      {[]byte{nameTag, 9, 'a'}, false, "", Model{}, ErrMalformed},
		"name without end":  {[]byte{nameTag, 0xff}, false, "", Model{}, ErrMalformed},
		"name too long":     {field(1, strings.Repeat("x", maxName+1)), false, "", Model{}, ErrMalformed},
		"version cut off":   {append(append([]byte{}, name...), versionTag, 5), false, "", Model{}, ErrMalformed},
		"gzip":              {name, true, "gzip", Model{Name: "diabetes"}, nil},
		"long gzip":         {long, true, "gzip", Model{Name: "diabetes"}, nil},
		"other compression": {name, true, "snappy", Model{}, ErrEncoding},
	} {
		t.Run(label, func(t *testing.T) {
			message := test.message
			if test.zipped {
				message = zip(t, message)
			}
			f := Frame{Compressed: test.zipped, Length: uint32(len(message))}
			got, err := Peek(f, test.encoding, message[:min(len(message), Head)])
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestParseFrame(t *testing.T) {
	if f, err := ParseFrame([FrameHeader]byte{1, 0, 0, 1, 2}); err != nil || f != (Frame{Compressed: true, Length: 258}) {
		t.Errorf("got %+v, %v", f, err)
	}
	if _, err := ParseFrame([FrameHeader]byte{2}); err == nil {
		t.Error("a flag of 2 must be refused")
	}
}

func TestTimeout(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond,
		"5u": 5 * time.Microsecond, "6n": 6, "0S": 0, "99999999H": 1<<63 - 1,
	} {
		if got, ok := ParseTimeout(value); !ok || got != want {
			t.Errorf("%q is %v, %v, want %v", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "S", "1", "1s", "-1S", "+1S", "1.5S", "999999999S", "1 S"} {
		if got, ok := ParseTimeout(value); ok {
			t.Errorf("%q is %v", value, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(0, 99_999_999_999).Draw(t, "ms")
		want := time.Duration(ms) * time.Millisecond
		got, ok := ParseTimeout(FormatTimeout(want))
		if !ok || got > want || want-got >= time.Second {
			t.Fatalf("%v became %v", want, got)
		}
	})
}

func TestMessageSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		encoded := EncodeMessage(text)
		if strings.ContainsFunc(encoded, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q became %q", text, encoded)
		}
		if got, err := url.PathUnescape(encoded); err != nil || got != text {
			t.Fatalf("%q came back as %q, %v", text, got, err)
		}
	})
}

func TestCodes(t *testing.T) {
	for status, want := range map[int]Code{400: InvalidArgument, 401: Unauthenticated, 404: NotFound, 413: ResourceExhausted, 503: Unavailable, 504: DeadlineExceeded} {
		if got := OfHTTP(status); got != want {
			t.Errorf("%d is %d, want %d", status, got, want)
		}
	}
	for value, want := range map[string]Code{"0": OK, "16": Unauthenticated, "17": Unknown, "-1": Unknown, "": Unknown, "x": Unknown} {
		if got := ParseCode(value); got != want {
			t.Errorf("%q is %d, want %d", value, got, want)
		}
	}
	for c := OK; c <= Unauthenticated; c++ {
		if status := c.HTTP(); (status < 400) != (c == OK) {
			t.Errorf("%d counts as %d", c, status)
		}
	}
}

func FuzzPeek(f *testing.F) {
	f.Add(false, "", append(field(1, "diabetes"), field(2, "v1")...))
	f.Add(true, "gzip", zip(f, field(1, "diabetes")))
	f.Add(false, "", []byte{nameTag, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, compressed bool, encoding string, head []byte) {
		m, err := Peek(Frame{Compressed: compressed, Length: uint32(len(head))}, encoding, head)
		if len(m.Name) > maxName || len(m.Version) > maxName || err != nil && m != (Model{}) {
			t.Errorf("got %+v, %v", m, err)
		}
		if m.Name != "" && !compressed && !bytes.Contains(head, []byte(m.Name)) {
			t.Errorf("%q is not in %q", m.Name, head)
		}
	})
}

func FuzzParseTimeout(f *testing.F) {
	f.Add("10S")
	f.Fuzz(func(t *testing.T, value string) {
		if d, ok := ParseTimeout(value); d < 0 || !ok && d != 0 {
			t.Errorf("%q is %v, %v", value, d, ok)
		}
	})
}
