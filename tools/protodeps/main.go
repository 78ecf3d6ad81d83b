// Command protodeps writes the third-party .proto files that Fairlead's own
// contracts import. It prints them from the descriptors compiled into the
// pinned Go modules, so the files that buf reads and the Go code that we link
// are the same version and no copy is kept in the repository.
//
// Usage: protodeps DIR
package main

import (
	"fmt"
	"os"
	"path/filepath"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	openapi "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2/options"
	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: protodeps DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "protodeps:", err)
		os.Exit(1)
	}
}

// roots are the files that our protos import; what they import comes along.
func roots() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		annotations.File_google_api_annotations_proto,
		annotations.File_google_api_client_proto,
		annotations.File_google_api_field_behavior_proto,
		annotations.File_google_api_resource_proto,
		longrunningpb.File_google_longrunning_operations_proto,
		status.File_google_rpc_status_proto,
		errdetails.File_google_rpc_error_details_proto,
		validatepb.File_buf_validate_validate_proto,
		openapi.File_protoc_gen_openapiv2_options_annotations_proto,
	}
}

func write(dir string) error {
	printer := &protoprint.Printer{SortElements: true}
	files := map[string]protoreflect.FileDescriptor{}
	for _, f := range roots() {
		collect(f, files)
	}
	operations, err := withoutBindings(longrunningpb.File_google_longrunning_operations_proto)
	if err != nil {
		return err
	}
	files[operations.Path()] = operations
	for path, f := range files {
		out := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return err
		}
		text, err := printer.PrintProtoToString(f)
		if err != nil {
			return fmt.Errorf("print %s: %w", path, err)
		}
		if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// withoutBindings drops the REST bindings of f's methods; ours for the standard
// operations are in proto/operations.yaml.
func withoutBindings(f protoreflect.FileDescriptor) (protoreflect.FileDescriptor, error) {
	d := protodesc.ToFileDescriptorProto(f)
	for _, s := range d.GetService() {
		for _, m := range s.GetMethod() {
			proto.ClearExtension(m.GetOptions(), annotations.E_Http)
		}
	}
	return protodesc.NewFile(d, protoregistry.GlobalFiles)
}

// collect adds f and its imports, except the google/protobuf files that buf
// brings itself.
func collect(f protoreflect.FileDescriptor, into map[string]protoreflect.FileDescriptor) {
	if f.Package() == "google.protobuf" || into[f.Path()] != nil {
		return
	}
	into[f.Path()] = f
	for i := range f.Imports().Len() {
		collect(f.Imports().Get(i).FileDescriptor, into)
	}
}
