package output_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/cmd/internal/output"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

func TestPrintedYAMLSaysWhatTheJSONSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"true", "1", "null", "~", "a: b", "- x", "", "2026-01-01", "0x1"}))
		value := map[string]any{
			"text": text.Draw(t, "text"), "number": float64(rapid.IntRange(-9, 9).Draw(t, "number")),
			"list": []any{text.Draw(t, "item"), true, nil}, "empty": []any{}, "map": map[string]any{},
		}
		printed := func(f output.Format) []byte {
			var b bytes.Buffer
			if err := (output.Printer{Out: &b, Format: f}).Print(output.Document{Value: value}); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		var fromJSON, fromYAML map[string]any
		if err := json.Unmarshal(printed(output.JSON), &fromJSON); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(printed(output.YAML), &fromYAML); err != nil {
			t.Fatal(err)
		}
		fromYAML["number"] = float64(fromYAML["number"].(int))
		if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestZeroValuesAreInTheJSON(t *testing.T) {
	var b bytes.Buffer
	p := output.Printer{Out: &b, Format: output.JSON}
	if err := p.Print(output.Document{Value: &deployv1.TrafficShare{Version: "versiona"}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("{\n  \"version\": \"versiona\",\n  \"percent\": 0\n}\n", b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAnEmptyListIsAnArray(t *testing.T) {
	var b bytes.Buffer
	if err := (output.Printer{Out: &b, Format: output.JSON}).Print(output.Document{}); err != nil {
		t.Fatal(err)
	}
	if b.String() != "[]\n" {
		t.Errorf("got %q", b.String())
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	p := output.Printer{Out: &b, Format: output.Table, Paint: true}
	if err := p.Print(output.Document{Text: func(t *output.Text) {
		t.Table([]string{"NAME", "STATE", "NOTE"}, [][]string{{"größer", "Healthy", ""}, {"b", "Failed", "a\nb\x1b[2J"}})
	}}); err != nil {
		t.Fatal(err)
	}
	dim := func(s string) string { return "\x1b[2m" + s + "\x1b[0m" }
	want := dim("NAME") + "    " + dim("STATE") + "    " + dim("NOTE") + "\n" +
		"größer  \x1b[32mHealthy\x1b[0m\n" +
		"b       \x1b[31mFailed\x1b[0m   a b\uFFFD[2J\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWords(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) string { return output.Age(timestamppb.New(now.Add(-d)), now) }
	got := []string{
		output.Word(deployv1.State_STATE_UNSCHEDULABLE, "STATE_"), output.Word(deployv1.State_STATE_UNSPECIFIED, "STATE_"),
		output.Bytes(0), output.Bytes(1023), output.Bytes(1536), output.Bytes(5 << 40),
		output.Number(40), output.Number(0.1), output.Number(33.333), output.Percent(100),
		ago(-time.Hour), ago(59 * time.Second), ago(59 * time.Minute), ago(47 * time.Hour), ago(49 * time.Hour),
		output.Elapsed(1500 * time.Millisecond), output.Elapsed(61 * time.Second),
		output.Pairs(map[string]string{"b": "2", "a": "1"}),
	}
	want := []string{
		"Unschedulable", "-", "0 B", "1023 B", "1.5 KiB", "5.0 TiB", "40", "0.1", "33.33", "100%",
		"0s", "59s", "59m", "47h", "2d", "1.5s", "1m01s", "a=1 b=2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
