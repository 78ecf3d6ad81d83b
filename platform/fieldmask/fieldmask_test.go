package fieldmask_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/fairlead/fairlead/platform/fieldmask"
)

func TestPaths(t *testing.T) {
	msg := &errdetails.ErrorInfo{Reason: "x"}
	tests := []struct {
		name string
		mask []string
		want []string
		bad  bool
	}{
		{name: "none means what is set", want: []string{"reason"}},
		{name: "all", mask: []string{"*"}, want: []string{"reason", "metadata"}},
		{name: "named, also when not set", mask: []string{"metadata"}, want: []string{"metadata"}},
		{name: "a path into a field", mask: []string{"metadata.a"}, want: []string{"metadata"}},
		{name: "the etag rides along", mask: []string{"etag", "reason"}, want: []string{"reason"}},
		{name: "not allowed", mask: []string{"domain", "reason", "zzz"}, bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fieldmask.Paths(&fieldmaskpb.FieldMask{Paths: tt.mask}, msg, "reason", "metadata")
			if (err != nil) != tt.bad {
				t.Fatalf("err = %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
