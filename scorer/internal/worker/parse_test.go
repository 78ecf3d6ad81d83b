package worker

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
)

func FuzzParseReply(f *testing.F) {
	f.Add([]byte("\x13\x01\x00\x00\x00\x00\x00\x00\x03\xe8"))
	f.Add([]byte("\x13\x01\x00\x00\x00\x00\x00\x00\x03\xe8{\"status\": 201, \"headers\": [[\"a\", \"b\"]], \"stream\": true}"))
	f.Add([]byte("\x13\x09"))
	f.Fuzz(func(t *testing.T, header []byte) {
		reply, _, err := parseReply(header)
		if err != nil {
			return
		}
		if reply.Outcome != Outcome(header[1]) || reply.ExecMS != float64(binary.BigEndian.Uint64(header[2:10]))/1e6 {
			t.Errorf("%q became %+v", header, reply)
		}
		if reply.Outcome.String() == "" {
			t.Errorf("outcome %d has no name", header[1])
		}
	})
}

func FuzzParseResident(f *testing.F) {
	f.Add("1843 612 500 1 0 200 0")
	f.Add("1 -1")
	f.Fuzz(func(t *testing.T, statm string) {
		if n, ok := parseResident(statm); n < 0 && ok {
			t.Errorf("%q became %d bytes", statm, n)
		}
	})
}

func TestResidentMemory(t *testing.T) {
	if n, ok := residentMemory(os.Getpid()); ok && n <= 0 {
		t.Errorf("this process holds %d bytes", n)
	}
	if n, ok := residentMemory(0); ok {
		t.Errorf("a process that is not there holds %d bytes", n)
	}
}

func TestLargeBodyHoldsWhatWasRead(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 200_000)
	b, err := ReadLarge(bytes.NewReader(want), int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	if b == nil {
		t.Skip("there are no files in memory here")
	}
	defer b.Close()
	if !bytes.Equal(b.Bytes(), want) {
		t.Error("the body is not what was read")
	}
	if err := b.file.Truncate(1); err == nil {
		t.Error("a worker could cut the file, which would kill the scorer")
	}
	if short, err := ReadLarge(bytes.NewReader(want[:10]), int64(len(want))); err == nil {
		short.Close()
		t.Error("a body that ends early was taken for whole")
	}
}
