package grpcproxy

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// frame is one message as it is on the wire.
type frame struct {
	payload []byte
}

// codec leaves frames as they are and treats all else as protobuf, so that one
// server can both proxy and serve.
type codec struct {
	protobuf encoding.CodecV2
}

var _ encoding.CodecV2 = codec{}

// Codec is for a server that proxies.
func Codec() encoding.CodecV2 { return codec{protobuf: encoding.GetCodecV2(proto.Name)} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f.payload)}, nil
	}
	return c.protobuf.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.payload = data.Materialize() // the buffers are used again after this call
		return nil
	}
	return c.protobuf.Unmarshal(data, v)
}

// Name is that of protobuf: that is what frames hold.
func (c codec) Name() string { return proto.Name }
