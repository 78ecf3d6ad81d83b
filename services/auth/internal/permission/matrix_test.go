package permission_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/fairlead/fairlead/platform/rpc"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"
	_ "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
	"github.com/fairlead/fairlead/services/auth/internal/permission"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/matrix.txt anew, to be read before it is committed")

// contracts gives every method that there is, by its full gRPC name.
func contracts(t *testing.T) map[string]protoreflect.MethodDescriptor {
	t.Helper()
	out := map[string]protoreflect.MethodDescriptor{}
	add := func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				out["/"+string(s.FullName())+"/"+string(m.Name())] = m
			}
		}
		return true
	}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		return !strings.HasPrefix(string(f.Package()), "fairlead.") || add(f)
	})
	add(longrunningpb.File_google_longrunning_operations_proto)
	return out
}

func TestEveryPackageOfContractsIsLookedAt(t *testing.T) {
	folders, err := filepath.Glob("../../../../proto/fairlead/*/v1")
	if err != nil || len(folders) == 0 {
		t.Skip("the contracts are not beside this module")
	}
	for _, f := range folders {
		name := "fairlead." + filepath.Base(filepath.Dir(f)) + ".v1"
		found := false
		protoregistry.GlobalFiles.RangeFilesByPackage(protoreflect.FullName(name), func(protoreflect.FileDescriptor) bool {
			found = true
			return false
		})
		if !found {
			t.Errorf("no method of %s is looked at: import it in this test", name)
		}
	}
}

func TestTheTableHasEveryMethodAndNoOther(t *testing.T) {
	table, all := permission.Table(), contracts(t)
	for _, method := range slices.Sorted(maps.Keys(all)) {
		rule, ok := table[method]
		if !ok {
			t.Errorf("%s has no rule: it is allowed to nobody", method)
			continue
		}
		bound := proto.HasExtension(all[method].Options(), annotations.E_Http)
		services := rule.Where == permission.Services
		if strings.HasPrefix(method, "/fairlead.") && bound == services {
			t.Errorf("%s: methods that are for services only have no REST binding, and all others have one", method)
		}
		if rule.Where != permission.Member && (rule.Where == permission.Resource) != (rule.Role != permission.None) {
			t.Errorf("%s needs the role %v, which fits no rule of its kind", method, rule.Role)
		}
	}
	for _, method := range slices.Sorted(maps.Keys(table)) {
		if all[method] == nil {
			t.Errorf("%s is in the table and in no contract", method)
		}
	}
}

// What the edge takes for the resource must be the field that the rule means.
func TestTheEdgeReadsTheFieldThatTheRuleNames(t *testing.T) {
	all := contracts(t)
	for method, rule := range permission.Table() {
		if rule.Field == "" || all[method] == nil {
			continue
		}
		msg := dynamicpb.NewMessage(all[method].Input())
		fillNames(msg, "workspaces/another")
		var at protoreflect.Message = msg
		path := strings.Split(rule.Field, ".")
		for _, name := range path[:len(path)-1] {
			f := at.Descriptor().Fields().ByName(protoreflect.Name(name))
			if f == nil || f.Message() == nil {
				t.Fatalf("%s: the request has no message %s", method, rule.Field)
			}
			at = at.Mutable(f).Message()
		}
		f := at.Descriptor().Fields().ByName(protoreflect.Name(path[len(path)-1]))
		if f == nil {
			t.Errorf("%s: the request has no field %s", method, rule.Field)
			continue
		}
		at.Set(f, protoreflect.ValueOfString("workspaces/w"))
		if got := rpc.Resource(msg); got != "workspaces/w" {
			t.Errorf("%s: the edge takes %q for the resource, and not the field %s", method, got, rule.Field)
		}
	}
}

// fillNames makes everything in a request that could be taken for its resource
// name another one.
func fillNames(msg protoreflect.Message, name string) {
	fields := msg.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsList() || f.IsMap():
		case f.Kind() == protoreflect.StringKind:
			msg.Set(f, protoreflect.ValueOfString(name))
		case f.Message() != nil && f.Message().Fields().ByName("name") != nil &&
			f.Message().Fields().ByName("name").Kind() == protoreflect.StringKind:
			inner := msg.Mutable(f).Message()
			inner.Set(f.Message().Fields().ByName("name"), protoreflect.ValueOfString(name))
		}
	}
}

// The places that the matrix looks from: where the role was given, and what the
// call names.
const (
	own, ownEndpoint, otherEndpoint, foreign = "workspaces/own", "workspaces/own/endpoints/mine", "workspaces/own/endpoints/other", "workspaces/foreign"
)

// matrix writes what is decided for every method, role and place: one line for
// each method, one column for each place, with the letters of the roles that are
// allowed. "." is nobody, "!" hides the workspace from everybody.
func matrix(t *testing.T) []byte {
	columns := []struct{ name, scope, resource string }{
		{"own workspace", own, own}, {"endpoint of own workspace", own, ownEndpoint}, {"own endpoint", ownEndpoint, ownEndpoint},
		{"other endpoint", ownEndpoint, otherEndpoint}, {"workspace of own endpoint", ownEndpoint, own},
		{"foreign workspace", own, foreign}, {"foreign endpoint", own, foreign + "/endpoints/mine"}, {"all workspaces", own, "workspaces/-"},
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, "# Who may call what: O owner, C contributor, R reader, S scorer, N signed in without any role.")
	fmt.Fprintln(&out, "# \".\" is nobody; \"!\" is nobody, and the workspace looks as if it did not exist. The administrator may all but what is for services.")
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	fmt.Fprintf(&out, "# method: %s\n", strings.Join(names, " | "))
	table := permission.Table()
	for _, method := range slices.Sorted(maps.Keys(contracts(t))) {
		var cells []string
		for _, c := range columns {
			cells = append(cells, cell(table[method], c.scope, c.resource))
		}
		fmt.Fprintf(&out, "%s: %s\n", method, strings.Join(cells, " | "))
	}
	return out.Bytes()
}

func cell(rule permission.Rule, scope, resource string) string {
	allowed, hidden := "", 0
	for _, role := range []permission.Role{permission.Owner, permission.Contributor, permission.Reader, permission.Scorer, permission.None} {
		var grants []permission.Grant
		letter := "N"
		if role != permission.None {
			grants, letter = []permission.Grant{{Role: role, Scope: scope}}, role.String()[:1]
		}
		switch verdict, _ := permission.Decide(rule, resource, grants); verdict {
		case permission.Allowed:
			allowed += letter
		case permission.Hidden:
			hidden++
		case permission.Refused:
		}
	}
	switch {
	case allowed != "":
		return allowed
	case hidden == 5:
		return "!"
	}
	return "."
}

func TestMatrix(t *testing.T) {
	const file = "testdata/matrix.txt"
	got := matrix(t)
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantLines, gotLines := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for _, line := range wantLines {
		if !slices.Contains(gotLines, line) {
			t.Errorf("the matrix says and the table does not: %s", line)
		}
	}
	for _, line := range gotLines {
		if !slices.Contains(wantLines, line) {
			t.Errorf("the table says and the matrix does not: %s", line)
		}
	}
}
