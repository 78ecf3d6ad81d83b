package python_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/scorer/internal/python"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

const schemaPrelude = `
import json, datetime
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.schema_util import get_input_schema, get_supported_versions, is_schema_decorated
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as S
def show(t): print(json.dumps(t.input_to_swagger(), sort_keys=True))
`

// snippet is Python code and what it prints, or the last line of the exception that ends it.
type snippet struct{ code, want string }

const snippets = `
import contextlib, io, json, sys, traceback
sys.dont_write_bytecode = True
sys.path.append(sys.argv[1] + '/shims')
prelude, cases, results = *json.load(sys.stdin), {}
for name, code in cases.items():
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(prelude + code, {'__name__': 'case'})
        results[name] = printed.getvalue().strip()
    except BaseException as e:
        results[name] = traceback.format_exception_only(type(e), e)[-1].strip()
print(json.dumps(results))
`

// run runs all snippets in one interpreter.
func run(t *testing.T, prelude string, cases map[string]snippet) {
	t.Helper()
	dir := t.TempDir()
	if err := python.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	for name, c := range cases {
		codes[name] = c.code
	}
	input, err := json.Marshal([]any{prelude, codes})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), pythontest.Interpreter(t), "-c", snippets, dir)
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var results map[string]string
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, c := range cases {
		if got := results[name]; got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}

func TestStandardTypes(t *testing.T) {
	run(t, schemaPrelude, map[string]snippet{
		"integer":        {"show(S(1))", `{"example": 1, "format": "int64", "type": "integer"}`},
		"boolean":        {"show(S(True))", `{"example": true, "type": "boolean"}`},
		"bytes":          {"show(S(b'ab'))\nprint(S(b'').deserialize_input('YWI='))", "{\"example\": \"YWI=\", \"format\": \"byte\", \"type\": \"string\"}\nb'ab'"},
		"bytearray":      {"print(S(bytearray()).deserialize_input('YWI='))", "bytearray(b'ab')"},
		"date":           {"show(S(datetime.date(2020, 1, 2)))\nprint(repr(S(datetime.date(2020, 1, 2)).deserialize_input('2021-03-04')))", "{\"example\": \"2020-01-02\", \"format\": \"date\", \"type\": \"string\"}\ndatetime.date(2021, 3, 4)"},
		"date and time":  {"show(S(datetime.datetime(2020, 1, 2, 3)))\nprint(S(datetime.datetime.now()).deserialize_input('2021-03-04T05:06:07Z').isoformat())", "{\"example\": \"2020-01-02 03:00:00.000000 +0000\", \"format\": \"date-time\", \"type\": \"string\"}\n2021-03-04T05:06:07+00:00"},
		"time":           {"show(S(datetime.time(3, 4)))\nprint(S(datetime.time(1)).deserialize_input('05:06:07'))", "{\"example\": \"03:04:00.000000 +0000\", \"format\": \"time\", \"type\": \"string\"}\n05:06:07"},
		"list":           {"show(S([1, 2]))", `{"example": [1, 2], "items": {"format": "int64", "type": "integer"}, "type": "array"}`},
		"empty list":     {"show(S([]))", `{"example": [], "items": {"type": "object"}, "type": "array"}`},
		"nested":         {"show(S({'a': {'b': ['x']}}))", `{"example": {"a": {"b": ["x"]}}, "properties": {"a": {"properties": {"b": {"items": {"type": "string"}, "type": "array"}}, "required": ["b"], "type": "object"}}, "required": ["a"], "type": "object"}`},
		"mixed list":     {"print(S(['a', 1]).supported_versions(), S({'a': [1]}).supported_versions())", "['3.0', '3.1'] ['2.0', '3.0', '3.1']"},
		"float from int": {"print(S(1.0).deserialize_input(2))", "2"},
		"wrong type":     {"S('x').deserialize_input(2)", "ValueError: the sample is of type str, the value of type int"},
		"not JSON":       {"S(object())" + ".input_to_swagger()", "TypeError: the sample can't be described, because it can't be written as JSON: Object of type object is not JSON serializable"},
		"no type":        {"input_schema('a', 1)", "Exception: a schema needs a parameter type, for example NumpyParameterType(sample), not 1"},
		"by position":    {"@input_schema('b', S(b''))\ndef f(a, b): return a, b\nprint(f(1, 'YWI='), is_schema_decorated(f), is_schema_decorated(print))", "(1, b'ab') True False"},
		"optional":       {"@input_schema('b', S(b''), optional=True)\ndef f(a, b=None): return a, b\nprint(f(1), f(1, b=None), f(1, b='YWI='))", "(1, None) (1, None) (1, b'ab')"},
		"not converted":  {"@input_schema('b', S(b''), convert_to_provided_type=False)\ndef f(b): return b\nprint(f('YWI='))", "YWI="},
		"unknown name":   {"@input_schema('c', S(b''))\ndef f(b): return b\nf('YWI=')", "Exception: input_schema speaks of 'c', which is no argument of f()"},
		"two outputs":    {"@output_schema(S(1))\n@output_schema(S(1))\ndef f(b): return b", "Exception: f has an output schema already"},
		"within a dict":  {"@input_schema('b', S({'x': S(b''), 'y': 1}))\ndef f(b): return b\nprint(f({'x': 'YWI=', 'z': 2}))", "{'x': b'ab', 'z': 2}"},
		"within a list":  {"@input_schema('b', S([S(b'')]))\ndef f(b): return b\nprint(f(['YWI=', 'YWI=']))", "[b'ab', b'ab']"},
		"fewest versions": {"@input_schema('a', S(1))\n@input_schema('b', S(['x', 1]))\ndef f(a, b): pass\nprint(get_supported_versions(f), get_input_schema(f)['example'])",
			"['3.0', '3.1'] {'a': 1, 'b': ['x', 1]}"},
	})
}

func TestNumpyTypes(t *testing.T) {
	pythontest.Needs(t, "numpy")
	const prelude = schemaPrelude + "import numpy as np\nfrom inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType as N\n"
	const structure = "np.array([('Sarah', (8.0, 7.0))], dtype=[('name', 'U16'), ('grades', 'f8', (2,))])"
	run(t, prelude, map[string]snippet{
		"matrix":      {"show(N(np.array([[1.5], [2]])))", `{"example": [[1.5], [2.0]], "format": "numpy.ndarray", "items": {"items": {"format": "double", "type": "number"}, "type": "array"}, "type": "array"}`},
		"small":       {"show(N(np.array([1], dtype='int8')))\nshow(N(np.array([1], dtype='float16')))", "{\"example\": [1], \"format\": \"numpy.ndarray\", \"items\": {\"format\": \"int8\", \"type\": \"integer\"}, \"type\": \"array\"}\n{\"example\": [1.0], \"format\": \"numpy.ndarray\", \"items\": {\"format\": \"float\", \"type\": \"number\"}, \"type\": \"array\"}"},
		"text":        {"show(N(np.array(['a'])))", `{"example": ["a"], "format": "numpy.ndarray", "items": {"type": "string"}, "type": "array"}`},
		"dates":       {"show(N(np.array(['2020-01-02'], dtype='datetime64[D]')))\nprint(N(np.array(['2020-01-02'], dtype='datetime64[D]')).deserialize_input(['2021-01-01']))", "{\"example\": [\"2020-01-02 00:00:00,000000\"], \"format\": \"numpy.ndarray\", \"items\": {\"format\": \"date-time\", \"type\": \"string\"}, \"type\": \"array\"}\n['2021-01-01']"},
		"durations":   {"print(N(np.array([3], dtype='timedelta64[D]')).deserialize_input(['4 days', '1 weeks']))", "[4 7]"},
		"no duration": {"N(np.array([3], dtype='timedelta64[D]')).deserialize_input(['4 moons'])", "ValueError: '4 moons' is no duration: write for example \"3 days\""},
		"structure":   {"show(N(" + structure + "))", `{"example": [{"grades": [8.0, 7.0], "name": "Sarah"}], "format": "numpy.ndarray", "items": {"properties": {"grades": {"items": {"format": "double", "type": "number"}, "type": "array"}, "name": {"type": "string"}}, "type": "object"}, "type": "array"}`},
		"rows":        {"n = N(" + structure + ")\nprint(n.deserialize_input([['A', [1, 2]], {'name': 'B', 'grades': [3, 4]}])['grades'].tolist())", "[[1.0, 2.0], [3.0, 4.0]]"},
		"any shape":   {"print(N(np.array([1.0]), enforce_shape=False).deserialize_input([[1]]).shape)", "(1, 1)"},
		"any type":    {"print(N(np.array([1.0]), enforce_column_type=False).deserialize_input([True]).dtype)", "bool"},
		"no list":     {"N(np.array([1.0])).deserialize_input(None)", "ValueError: an array must come as a list, not as NoneType"},
		"no array":    {"N([1])", "Exception: the sample must be a numpy array, not list"},
	})
}

func TestPandasTypes(t *testing.T) {
	pythontest.Needs(t, "pandas")
	const prelude = schemaPrelude + "import pandas as pd\nfrom inference_schema.parameter_types.pandas_parameter_type import PandasParameterType as P\n" +
		"df = pd.DataFrame({'a': [1], 's': ['x']})\ntimes = pd.DataFrame({'t': pd.to_datetime(['2020-01-02']), 'd': [pd.Timedelta(days=1)]})\n"
	run(t, prelude, map[string]snippet{
		"records":         {"show(P(df))", `{"example": [{"a": 1, "s": "x"}], "format": "pandas.DataFrame:records", "items": {"properties": {"a": {"format": "int64", "type": "integer"}, "s": {"type": "string"}}, "required": ["a", "s"], "type": "object"}, "type": "array"}`},
		"split":           {"show(P(df, orient='split'))", `{"example": {"columns": ["a", "s"], "data": [[1, "x"]], "index": [0]}, "format": "pandas.DataFrame:split", "properties": {"columns": {"items": {"type": "string"}, "type": "array"}, "data": {"items": {"items": {"type": "string"}, "type": "array"}, "type": "array"}, "index": {"items": {"format": "int64", "type": "integer"}, "type": "array"}}, "required": ["columns", "index", "data"], "type": "object"}`},
		"versions":        {"print(P(df).supported_versions(), P(df, orient='values').supported_versions())", "['2.0', '3.0', '3.1'] ['3.0', '3.1']"},
		"times":           {"p = P(times).input_to_swagger()['items']['properties']\nprint(p['t'], p['d'])", "{'type': 'string', 'format': 'date-time'} {'type': 'string', 'format': 'timedelta'}"},
		"times by column": {"p = P(times, orient='columns').input_to_swagger()['properties']\nprint(p['t']['properties']['0']['format'], P(times, orient='index').input_to_swagger()['properties']['0']['properties']['d']['format'])", "date-time timedelta"},
		"from records":    {"f = P(df).deserialize_input([{'a': '7', 's': '007'}])\nprint(f.dtypes.a, f.s[0])", "int64 007"},
		"from columns":    {"print(P(df).deserialize_input({'a': [7, 8], 's': ['x', 'y']}).shape)", "(2, 2)"},
		"from split":      {"print(P(df, orient='split').deserialize_input({'columns': ['a', 's'], 'index': [0], 'data': [[1, 'x']]}).s[0])", "x"},
		"from values":     {"print(P(df, orient='values', apply_column_names=True).deserialize_input([[1, 'x']]).s[0])", "x"},
		"durations":       {"print(P(times).deserialize_input([{'t': '2021-01-01', 'd': 'P2DT0H0M0S'}]).d[0].days)", "2"},
		"too few":         {"P(df).deserialize_input([{'a': 7}])", "ValueError: the data frame must have 2 columns, it has 1"},
		"wrong value":     {"P(df).deserialize_input([{'a': 'x', 's': 'x'}])", "ValueError: invalid literal for int() with base 10: 'x'"},
		"nothing":         {"P(df).deserialize_input(None)", "ValueError: a data frame must come as a list or an object, not as NoneType"},
		"orient":          {"P(df, orient='odd')", "Exception: orient is 'odd', it must be one of split, records, index, columns, values, table"},
	})
}

// fakeSpark has what the Spark type uses of pyspark, which is too large for a test.
const fakeSpark = schemaPrelude + `
import sys, types
def module(name, **members):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(members)
class Simple:
    def __init__(self, name): self.name = name
    def typeName(self): return self.name
class ArrayType:
    def __init__(self, of): self.elementType = of
class MapType:
    def __init__(self, of): self.valueType = of
class StructType:
    def __init__(self, **fields): self.fields, self.names = fields, list(fields)
    def __getitem__(self, name): return types.SimpleNamespace(dataType=self.fields[name])
class DataFrame:
    def __init__(self, rows, schema): self.rows, self.schema = rows, schema
    def collect(self): return self.rows
class Session:
    def createDataFrame(self, rows, schema=None): return DataFrame(rows, schema)
builder = types.SimpleNamespace(getOrCreate=Session)
sys.modules.pop('inference_schema.parameter_types.spark_parameter_type', None)
module('pyspark')
module('pyspark.sql', DataFrame=DataFrame, SparkSession=types.SimpleNamespace(builder=builder))
module('pyspark.sql.types', ArrayType=ArrayType, MapType=MapType, StructType=StructType)
from inference_schema.parameter_types.spark_parameter_type import SparkParameterType
day = datetime.date(2020, 1, 2)
sample = DataFrame([{'n': 1, 'd': day, 'a': [1.5], 'm': {'k': 'v'}}], StructType(n=Simple('long'), d=Simple('date'), a=ArrayType(Simple('double')), m=MapType(Simple('string'))))
`

func TestSparkTypes(t *testing.T) {
	run(t, fakeSpark, map[string]snippet{
		"schema": {
			"show(SparkParameterType(sample))", `{"example": [{"a": [1.5], "d": "2020-01-02", "m": {"k": "v"}, "n": 1}], "items": {"properties": {"a": {"items": {"format": "double", "type": "number"}, "type": "array"}, ` +
				`"d": {"format": "date", "type": "string"}, "m": {"additionalProperties": {"type": "string"}, "type": "object"}, "n": {"format": "int64", "type": "integer"}}, "type": "object"}, "type": "array"}`,
		},
		"rows": {
			"f = SparkParameterType(sample).deserialize_input([{'n': 2, 'd': '2021-03-04', 'a': [2], 'm': {}}])\nprint(f.rows, f.schema is sample.schema)",
			"[{'n': 2, 'd': datetime.date(2021, 3, 4), 'a': [2], 'm': {}}] True",
		},
		"without its schema": {"print(SparkParameterType(sample, apply_sample_schema=False).deserialize_input([{'d': 'x'}]).rows)", "[{'d': 'x'}]"},
		"no list":            {"SparkParameterType(sample).deserialize_input({})", "ValueError: a data frame must come as a list, not as dict"},
		"odd column":         {"SparkParameterType(DataFrame([], StructType(x=Simple('vector')))).input_to_swagger()", "TypeError: columns of type vector can't be described"},
	})
}

func TestRunOutsideOfExperiments(t *testing.T) {
	got := evaluate(t, "from azureml.core import Run\nr = Run.get_context()\nr.log('accuracy', 0.5)\nprint(r.id[:11])")
	if want := "accuracy: 0.5\nOfflineRun_"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
