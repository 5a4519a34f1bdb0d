// Prints deequ's distances of the pairs on standard input, a line each, as JSON; see printed.py.
import com.amazon.deequ.analyzers.Distance;
import com.amazon.deequ.analyzers.QuantileNonSample;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Scanner;
import scala.Option;
import scala.collection.mutable.HashMap;
import scala.math.Ordering;
import scala.reflect.ClassTag;

public class Deequ {
    // numbers NAME / reference / window; counts NAME / "a 3 b 4" / "a 2 b 5"
    public static void main(String[] args) {
        Scanner in = new Scanner(System.in);
        List<String> out = new ArrayList<>();
        while (in.hasNextLine()) {
            String[] head = in.nextLine().split("\t");
            String before = in.nextLine(), after = in.nextLine();
            String found = head[0].equals("numbers") ? numbers(before, after) : counts(before, after);
            out.add("\"" + head[0] + "/" + head[1] + "\": {" + found + "}");
        }
        System.out.println("{" + String.join(",\n", out) + "}");
    }

    static String numbers(String before, String after) {
        double simple = Distance.numericalDistance(sketch(after), sketch(before), true, Option.empty());
        double robust = Distance.numericalDistance(sketch(after), sketch(before), false, Option.empty());
        return say("linf", simple) + ", " + say("linf_robust", robust);
    }

    static QuantileNonSample<Object> sketch(String line) {
        QuantileNonSample<Object> out =
            new QuantileNonSample<>(100000, 0.64, (Ordering) Ordering.Double$.MODULE$, (ClassTag) ClassTag.Double());
        Arrays.stream(line.trim().split(" ")).forEach(v -> out.update(Double.valueOf(v)));
        return out;
    }

    static String counts(String before, String after) {
        Distance.CategoricalDistanceMethod linf = new Distance.LInfinityMethod(Option.empty());
        Distance.CategoricalDistanceMethod chi = new Distance.ChisquareMethod(5, 0.2, 10);
        return say("linf", Distance.categoricalDistance(map(after), map(before), true, linf)) + ", "
            + say("linf_robust", Distance.categoricalDistance(map(after), map(before), false, linf)) + ", "
            + say("chi2", Distance.categoricalDistance(map(after), map(before), true, chi)) + ", "
            + say("chi2_p", Distance.categoricalDistance(map(after), map(before), false, chi));
    }

    static HashMap<String, Object> map(String line) {
        HashMap<String, Object> out = new HashMap<>();
        String[] words = line.trim().split(" ");
        for (int i = 0; i < words.length; i += 2) out.put(words[i], Long.valueOf(words[i + 1]));
        return out;
    }

    static String say(String name, double value) {
        return "\"" + name + "\": " + (Double.isNaN(value) ? "NaN" : Double.isInfinite(value) ? "Infinity" : String.valueOf(value));
    }
}
