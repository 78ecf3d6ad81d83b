package integration

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/fairlead/fairlead/test/harness"
)

const matrixFile = "../../services/auth/internal/permission/testdata/matrix.txt"

// readMatrix gives the columns of each method.
func readMatrix(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		method, columns, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok && strings.HasPrefix(method, "/") {
			out[method] = strings.Split(columns, " | ")
		}
	}
	return out
}

func findMethod(t *testing.T, full string) protoreflect.MethodDescriptor {
	t.Helper()
	if name, ok := strings.CutPrefix(full, "/google.longrunning.Operations/"); ok {
		return longrunningpb.File_google_longrunning_operations_proto.Services().ByName("Operations").Methods().ByName(protoreflect.Name(name))
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(full[1:], "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MethodDescriptor)
}

// about makes a request that names the resource and is empty otherwise.
func about(m protoreflect.MethodDescriptor, resource string) *dynamicpb.Message {
	msg := dynamicpb.NewMessage(m.Input())
	fields := m.Input().Fields()
	for _, name := range []protoreflect.Name{"name", "parent"} {
		if f := fields.ByName(name); f != nil {
			msg.Set(f, protoreflect.ValueOfString(resource))
			return msg
		}
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsList() || f.IsMap() || f.Message().Fields().ByName("name") == nil {
			continue
		}
		msg.Mutable(f).Message().Set(f.Message().Fields().ByName("name"), protoreflect.ValueOfString(resource))
		break
	}
	return msg
}

// verdict calls a method and says what became of it: "allowed", "refused", or
// "hidden" when the workspace looks as if it did not exist.
func verdict(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, full, resource string) string {
	// A stream that is open after this time was allowed.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, full, grpc.WaitForReady(true))
	if err == nil {
		_ = stream.SendMsg(about(m, resource))
		_ = stream.CloseSend()
		err = stream.RecvMsg(dynamicpb.NewMessage(m.Output()))
	}
	st := status.Convert(err)
	switch {
	case st.Code() == codes.PermissionDenied || st.Code() == codes.Unauthenticated:
		return "refused"
	case st.Code() == codes.NotFound:
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetReason() == "WORKSPACE_NOT_FOUND" {
				return "hidden"
			}
		}
	}
	return "allowed"
}

// TestEveryMethodRefusesAsTheMatrixSays has principals of every role, given for a
// workspace and for an endpoint, call every method there is on their own resources
// and on those of others, over the wire. What the matrix allows is left out where
// it would change something.
func TestEveryMethodRefusesAsTheMatrixSays(t *testing.T) {
	if _, err := os.Stat(matrixFile); err != nil {
		t.Skip("the matrix is not beside this module")
	}
	i := harness.Start(t, harness.AllInOne)
	i.Run("workspace", "create", "-n", "foreign")
	registerModel(t, i)
	deploy(t, i, "mine", script, nil) // roles are given for what exists
	conn := i.Anonymous()
	letters := map[string]string{"Owner": "O", "Contributor": "C", "Reader": "R", "Scorer": "S", "": "N"}
	tokens := map[string]string{"": newPrincipal(t, i, "nobody")}
	for role := range letters {
		if role == "" {
			continue
		}
		name := strings.ToLower(role)
		tokens[role] = newPrincipal(t, i, name)
		give(i, name, role)
		tokens[role+" of mine"] = newPrincipal(t, i, name+"-mine")
		give(i, name+"-mine", role, "--endpoint", "mine")
	}
	columns := []struct{ scope, resource string }{
		{"", "workspaces/default"}, {"", "workspaces/default/endpoints/mine"}, {" of mine", "workspaces/default/endpoints/mine"},
		{" of mine", "workspaces/default/endpoints/other"}, {" of mine", "workspaces/default"},
		{"", "workspaces/foreign"}, {"", "workspaces/foreign/endpoints/mine"}, {"", "workspaces/-"},
	}
	calls := 0
	for full, cells := range readMatrix(t) {
		m := findMethod(t, full)
		for n, column := range columns {
			for role, letter := range letters {
				allowed := strings.Contains(cells[n], letter)
				if allowed && !looks(m) {
					continue
				}
				who := role + column.scope
				if role == "" {
					who = ""
				}
				want := []string{"refused", "hidden"}
				if allowed {
					want = []string{"allowed"}
				}
				if cells[n] == "!" {
					want = []string{"hidden"}
				}
				calls++
				ctx := metadata.AppendToOutgoingContext(testContext(t), "authorization", "Bearer "+tokens[who])
				if got := verdict(ctx, conn, m, full, column.resource); !strings.Contains(fmt.Sprint(want), got) {
					t.Errorf("%s by %q on %s: %s, want %v", full, who, column.resource, got, want)
				}
			}
		}
		public := strings.Contains(cells[0], "N") && m.Name() == "GetJwks"
		if got := verdict(testContext(t), conn, m, full, "workspaces/default"); (got == "allowed") != public {
			t.Errorf("%s without a token: %s", full, got)
		}
	}
	if calls < 2000 {
		t.Errorf("only %d calls were made", calls)
	}
}

// looks says that a method changes nothing and answers soon.
func looks(m protoreflect.MethodDescriptor) bool {
	return (strings.HasPrefix(string(m.Name()), "Get") || strings.HasPrefix(string(m.Name()), "List")) && !m.IsStreamingServer()
}
