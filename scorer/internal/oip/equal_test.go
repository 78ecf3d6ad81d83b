package oip_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/proto/gen/inference"
	"github.com/fairlead/fairlead/scorer/internal/oip"
	"github.com/fairlead/fairlead/scorer/internal/tensor"
	"github.com/fairlead/fairlead/scorer/internal/tensorjson"
)

// drawTensors draws tensors of various types, named like these.
func drawTensors(t *rapid.T) []tensor.Tensor {
	var out []tensor.Tensor
	for _, number := range rapid.SliceOfNDistinct(rapid.Uint8Range(uint8(tensor.Bool), uint8(tensor.Bytes)), 1, 4, rapid.ID).Draw(t, "datatypes") {
		d := tensor.Datatype(number)
		x := tensor.Tensor{Name: d.String(), Datatype: d, Shape: []int64{int64(rapid.IntRange(0, 4).Draw(t, "length"))}}
		for range x.Shape[0] {
			switch bits := rapid.Uint64().Draw(t, "element"); {
			case d == tensor.Bytes:
				x.Strings = append(x.Strings, []byte(rapid.String().Draw(t, "text")))
			case d == tensor.Bool:
				x.Raw = append(x.Raw, byte(bits&1))
			default:
				raw := tensor.AppendInt(nil, d, bits)
				if d.IsFloat() && math.IsNaN(tensor.Tensor{Datatype: d, Raw: raw}.Float(0)) {
					raw = tensor.AppendInt(nil, d, 0) // NaN has many spellings in bits
				}
				x.Raw = append(x.Raw, raw...)
			}
		}
		out = append(out, x)
	}
	return out
}

// byREST spells a request, its inputs as binary data where binary says so.
func byREST(t *rapid.T, inputs []tensor.Tensor, binary []bool, binaryOut bool) (body []byte, jsonLength int) {
	b := fmt.Appendf(nil, `{"id":"i","parameters":{"binary_data_output":%t},"inputs":[`, binaryOut)
	var data []byte
	for i, x := range inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"name":%q,"shape":[%d],"datatype":%q,`, x.Name, x.Shape[0], x.Datatype)
		if binary[i] {
			raw, err := x.Binary()
			if err != nil {
				t.Fatal(err)
			}
			b = fmt.Appendf(b, `"parameters":{"binary_data_size":%d}}`, len(raw))
			data = append(data, raw...)
			continue
		}
		text, err := tensorjson.AppendFlat(append(b, `"data":`...), x)
		if err != nil {
			t.Fatal(err)
		}
		b = append(text, '}')
	}
	b = append(b, "]}"...)
	return append(b, data...), len(b)
}

// byGRPC spells the same request, raw or with contents by type.
func byGRPC(t *rapid.T, inputs []tensor.Tensor, raw bool) *inference.ModelInferRequest {
	m := &inference.ModelInferRequest{ModelName: "m", Id: "i"}
	for _, x := range inputs {
		if x.Datatype == tensor.FP16 || x.Datatype == tensor.BF16 {
			raw = true
		}
	}
	for _, x := range inputs {
		input := &inference.ModelInferRequest_InferInputTensor{Name: x.Name, Datatype: x.Datatype.String(), Shape: x.Shape}
		if raw {
			b, err := x.Binary()
			if err != nil {
				t.Fatal(err)
			}
			m.RawInputContents = append(m.RawInputContents, b)
		} else {
			input.Contents = &inference.InferTensorContents{}
			for i := range x.Len() {
				appendContent(input.Contents, x, i)
			}
		}
		m.Inputs = append(m.Inputs, input)
	}
	return m
}

func appendContent(c *inference.InferTensorContents, x tensor.Tensor, i int) {
	switch x.Datatype {
	case tensor.Bool:
		c.BoolContents = append(c.BoolContents, x.Raw[i] == 1)
	case tensor.Int8, tensor.Int16, tensor.Int32:
		c.IntContents = append(c.IntContents, int32(x.Int(i)))
	case tensor.Int64:
		c.Int64Contents = append(c.Int64Contents, x.Int(i))
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		c.UintContents = append(c.UintContents, uint32(x.Uint(i)))
	case tensor.Uint64:
		c.Uint64Contents = append(c.Uint64Contents, x.Uint(i))
	case tensor.FP32:
		c.Fp32Contents = append(c.Fp32Contents, float32(x.Float(i)))
	case tensor.FP64:
		c.Fp64Contents = append(c.Fp64Contents, x.Float(i))
	case tensor.Bytes:
		c.BytesContents = append(c.BytesContents, x.Strings[i])
	}
}

// However the same inputs are sent, the model is asked the same, and the answer says the same.
func TestRESTAndGRPCAreEqual(t *testing.T) {
	s := serve(t, everyType())
	rapid.Check(t, func(rt *rapid.T) {
		inputs := drawTensors(rt)
		var asked, answered []string
		for _, binaryOut := range []bool{false, true} {
			binary := rapid.SliceOfN(rapid.Bool(), len(inputs), len(inputs)).Draw(rt, "binary")
			body, length := byREST(rt, inputs, binary, binaryOut)
			got := s.send(t, "POST", "/v2/models/m/infer", string(body), "Inference-Header-Content-Length", strconv.Itoa(length))
			if got.code != 200 {
				rt.Fatalf("got %d %s", got.code, got.body)
			}
			asked = append(asked, describe(s.model.asked.Load().Inputs))
			answered = append(answered, describe(readREST(rt, got)))
		}
		for _, raw := range []bool{false, true} {
			response, err := s.client.ModelInfer(context.Background(), byGRPC(rt, inputs, raw))
			if err != nil {
				rt.Fatal(err)
			}
			asked = append(asked, describe(s.model.asked.Load().Inputs))
			answered = append(answered, describe(readGRPC(rt, response)))
		}
		want := describe(inputs)
		for i := range asked {
			if asked[i] != want {
				rt.Errorf("way %d: the model was asked\n%s, want\n%s", i, asked[i], want)
			}
		}
		want = describe(inOrder(inputs))
		for i := range answered {
			if answered[i] != want {
				rt.Errorf("way %d: the answer was\n%s, want\n%s", i, answered[i], want)
			}
		}
	})
}

// inOrder gives the tensors in the order of the model's outputs.
func inOrder(tensors []tensor.Tensor) []tensor.Tensor {
	var out []tensor.Tensor
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		for _, x := range tensors {
			if x.Datatype == d {
				out = append(out, x)
			}
		}
	}
	return out
}

func describe(tensors []tensor.Tensor) string {
	var b strings.Builder
	for _, x := range tensors {
		fmt.Fprintf(&b, "%s %s %v %x %q\n", x.Name, x.Datatype, x.Shape, x.Raw, bytes.Join(x.Strings, []byte{0}))
	}
	return b.String()
}

// readREST reads an answer's outputs.
func readREST(t *rapid.T, a answer) []tensor.Tensor {
	text, data := []byte(a.body), []byte(nil)
	if n, err := strconv.Atoi(a.header.Get("Inference-Header-Content-Length")); err == nil {
		text, data = text[:n], text[n:]
	}
	var out []tensor.Tensor
	read := func(_ int, value []byte) error {
		x, values, size := tensor.Tensor{}, []byte(nil), -1
		err := tensorjson.Fields(value, func(name string, value []byte) error {
			switch name {
			case "name":
				x.Name = strings.Trim(string(value), `"`)
			case "datatype":
				x.Datatype, _ = tensor.ParseDatatype(strings.Trim(string(value), `"`))
			case "shape":
				n, err := strconv.ParseInt(strings.Trim(string(value), "[]"), 10, 64)
				x.Shape = []int64{n}
				return err
			case "data":
				values = value
			case "parameters":
				var err error
				size, err = strconv.Atoi(strings.NewReplacer(`{"binary_data_size":`, "", "}", "").Replace(string(value)))
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
		if size >= 0 {
			err = x.SetBinary(data[:size])
			data = data[size:]
		} else {
			var decoded tensor.Tensor
			decoded, err = tensorjson.Decode(values, x.Datatype, x.Shape)
			x.Raw, x.Strings = decoded.Raw, decoded.Strings
		}
		out = append(out, x)
		return err
	}
	err := tensorjson.Fields(text, func(name string, value []byte) error {
		if name == "outputs" {
			return tensorjson.Items(value, read)
		}
		return nil
	})
	if err != nil || len(data) > 0 {
		t.Fatalf("%s: %v, %d bytes are left", a.body, err, len(data))
	}
	return out
}

// readGRPC reads an answer's outputs by asking with them.
func readGRPC(t *rapid.T, m *inference.ModelInferResponse) []tensor.Tensor {
	again := &inference.ModelInferRequest{RawInputContents: m.GetRawOutputContents()}
	for _, o := range m.GetOutputs() {
		again.Inputs = append(again.Inputs, &inference.ModelInferRequest_InferInputTensor{Name: o.GetName(), Datatype: o.GetDatatype(), Shape: o.GetShape(), Contents: o.GetContents()})
	}
	request, err := oip.RequestOf(again)
	if err != nil {
		t.Fatal(err)
	}
	return request.Inputs
}

func FuzzREST(f *testing.F) {
	f.Add([]byte(`{"inputs":[{"name":"FP32","datatype":"FP32","shape":[2],"data":[1,2]}],"outputs":[{"name":"FP32","parameters":{"binary_data":true}}]}`), 0)
	f.Add([]byte(`{"inputs":[{"name":"BYTES","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}`+"\x01\x00\x00\x00a"), 96)
	f.Add([]byte(`{"id":"\u00e9","parameters":{"binary_data_output":true,"x":1e3},"inputs":[]}`), 0)
	f.Add([]byte(`{"inputs":[{"name":"INT8","datatype":"INT8","shape":[1],"data":[300]},{"name":"BOOL","datatype":"BOOL","shape":[1,1],"data":[[true]]},{"name":"x","shape":"y"}]}`), 0)
	f.Add([]byte(`{"inputs":[{"name":"FP16","datatype":"FP16","shape":[2],"parameters":{"binary_data_size":4}}],"outputs":[{"name":"FP16","parameters":null}]}`+"\x00\x3c\x00\x7e"), 138)
	s := handlerOf(everyType())
	f.Fuzz(func(t *testing.T, body []byte, jsonLength int) {
		r := httptest.NewRequest(http.MethodPost, "/v2/models/m/infer", bytes.NewReader(body))
		if jsonLength != 0 {
			r.Header.Set("Inference-Header-Content-Length", strconv.Itoa(jsonLength))
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}

func FuzzGRPC(f *testing.F) {
	seed, err := proto.Marshal(&inference.ModelInferRequest{
		ModelName: "m", RawInputContents: [][]byte{{1, 2, 3, 4}},
		Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "FP32", Datatype: "FP32", Shape: []int64{1}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	model := everyType()
	f.Fuzz(func(t *testing.T, message []byte) {
		var m inference.ModelInferRequest
		if proto.Unmarshal(message, &m) != nil {
			return
		}
		request, err := oip.RequestOf(&m)
		if err != nil || model.Metadata().Check(request) != nil {
			return
		}
		response, err := model.Infer(context.Background(), request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oip.ResponseMessage(response, len(m.RawInputContents) > 0); err != nil {
			t.Error(err)
		}
	})
}
