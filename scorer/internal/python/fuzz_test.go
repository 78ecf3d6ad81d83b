package python_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"mime/multipart"
	"os/exec"
	"testing"

	"github.com/fairlead/fairlead/scorer/internal/python"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

// parsers answers frames (length, parser, bytes) with a line of JSON.
const parsers = `
import json, struct, sys
sys.dont_write_bytecode = True
sys.path[:0] = [sys.argv[1], sys.argv[1] + '/shims']
from fairlead_worker import forms
from azureml_inference_server_http.api import _forms
def query(data):
    text = data.decode('latin-1')
    return [json.loads(json.dumps(forms.query_values(text))), _forms.parse_query(text)]
def multipart(data):
    try:
        fields, files = _forms.parse_multipart(data, 'b')
    except ValueError as e:
        return str(e)
    return [fields, [[n, f.filename, f.read().decode('latin-1')] for n, f in files]]
def options(data):
    return _forms.parse_options(data.decode('latin-1'))
while True:
    head = sys.stdin.buffer.read(5)
    if len(head) < 5: break
    size, kind = struct.unpack('>IB', head)
    data = sys.stdin.buffer.read(size)
    print(json.dumps((query, multipart, options)[kind](data)), flush=True)
`

// parser sends bytes to Python's parsers and gives their answers. It fails the test when Python ends.
func parser(f *testing.F) func(t *testing.T, kind byte, data []byte) string {
	f.Helper()
	dir := f.TempDir()
	if err := python.Unpack(dir); err != nil {
		f.Fatal(err)
	}
	cmd := exec.Command(pythontest.Interpreter(f), "-c", parsers, dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		f.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	var problems bytes.Buffer
	cmd.Stderr = &problems
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	answers := bufio.NewReaderSize(stdout, 1<<20)
	return func(t *testing.T, kind byte, data []byte) string {
		t.Helper()
		frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), kind)
		if _, err := stdin.Write(append(frame, data...)); err != nil {
			t.Fatalf("%v: %s", err, problems.String())
		}
		line, err := answers.ReadString('\n')
		if err != nil {
			_ = cmd.Wait()
			t.Fatalf("%q ended Python: %v %s", data, err, problems.String())
		}
		return line
	}
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "a=1&b=x&a=2", "f=%7B%22z%22%3A1%7D&g=&h=01", "%&=&&a==", "x=%FF&n=NaN&i=1e999", "a=[[[[[[[["} {
		f.Add([]byte(seed))
	}
	parse := parser(f)
	f.Fuzz(func(t *testing.T, query []byte) { parse(t, 0, query) })
}

func FuzzHeaderOptions(f *testing.F) {
	for _, seed := range []string{"form-data; name=a", `form-data; name="a\"b"; filename*=UTF-8''%e2%82%ac`, `;=;a*=x'`, `text/x; charset="`} {
		f.Add([]byte(seed))
	}
	parse := parser(f)
	f.Fuzz(func(t *testing.T, value []byte) { parse(t, 2, value) })
}

// FuzzMultipart: no body ends the parser, and what a client library writes comes back as it was.
func FuzzMultipart(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n"))
	f.Add([]byte("--b\r\n\r\n--b--"))
	f.Add([]byte("--b \t\r\nContent-Disposition: form-data; name=a; filename=x\r\nContent-Type: text/plain; charset=odd\r\n\r\n\r\n--b--"))
	parse := parser(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		parse(t, 1, body)
		if bytes.Contains(append([]byte("\r\n"), body...), []byte("\r\n--b")) {
			return // a client would choose another boundary
		}
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		if err := w.SetBoundary("b"); err != nil {
			t.Fatal(err)
		}
		part, err := w.CreateFormFile("file", "name")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(body)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var got []any
		if err := json.Unmarshal([]byte(parse(t, 1, form.Bytes())), &got); err != nil {
			t.Fatal(err)
		}
		file := got[1].([]any)[0].([]any)
		if content := latin1(body); file[2] != content {
			t.Errorf("sent %q, got %q", content, file[2])
		}
	})
}

func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}
