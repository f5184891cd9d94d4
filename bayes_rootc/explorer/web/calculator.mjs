// A small calculator: Δ14C, year and place in, posterior of the age out, as `bayes_rootc.invert` gives it.

import { densities } from "./charts.mjs";
import { h, interval, number } from "./dom.mjs";
import { complaint, invert, zoneOf } from "./radiocarbon.mjs";
import { aloneCurve, bombChart } from "./site.mjs";

/** The panel; `place` gives latitude and longitude of what was clicked. */
export function calculatorPanel(air, place, colour) {
  const [lat, lon] = place ?? [48.7, 9.2];
  const field = (id, label, value, step, unit) => [
    h("label", { for: id }, label),
    h("span", {}, h("input", { id, type: "number", step, value: String(value), required: true }), ` ${unit}`),
  ];
  const history = h(
    "select",
    { id: "c-history" },
    h("option", { value: "steady" }, "steady in 1950"),
    h("option", { value: "intcal20" }, "IntCal20 and SHCal20"),
  );
  history.value = air.prehistory;
  const result = h("div", { "aria-live": "polite" });
  const form = h(
    "form",
    { class: "form", input: () => compute(), submit: (event) => event.preventDefault() },
    field("c-delta", "Δ¹⁴C", 85, "any", "‰"),
    field("c-sigma", "its σ", 5, "any", "‰"),
    field("c-model", "misfit of one pool, σ", 0, "any", "‰"),
    field("c-year", "year of sampling", 2008.5, "any", "AD"),
    field("c-lat", "latitude", Number(lat.toFixed(3)), "any", "° N"),
    field("c-lon", "longitude", Number(lon.toFixed(3)), "any", "° E"),
    h("label", { for: "c-history" }, "air before 1950"),
    history,
  );
  const read = (id) => form.querySelector(`#c-${id}`).valueAsNumber;
  const compute = () => {
    const [lat, lon] = [read("lat"), read("lon")];
    if (!(Math.abs(lat) <= 90 && lon >= -180 && lon <= 360))
      return result.replaceChildren(h("p", { class: "warning" }, "latitude must be −90 to 90, longitude −180 to 360"));
    const layer = {
      delta14c: read("delta"),
      sigma: read("sigma"),
      modelSd: read("model"),
      year: read("year"),
      zone: zoneOf(lat, lon),
      prehistory: history.value,
    };
    const wrong = complaint(layer, air);
    if (wrong) return result.replaceChildren(h("p", { class: "warning" }, wrong));
    const found = invert(layer, air);
    const ages = found.modes
      .map((mode) => `${number(mode.age)} yr with ${Math.round(100 * mode.probability)} %`)
      .join(", ");
    result.replaceChildren(
      h(
        "p",
        { class: "answer" },
        "age: ",
        h("b", {}, `${interval(found.age.median, found.age.p025, found.age.p975)} yr`),
        ` in ${layer.zone}`,
      ),
      h(
        "p",
        {},
        `${found.modes.length > 1 ? "Ages that it can mean" : "Mode"}: ${ages}; mean ${number(found.age.mean)} yr`,
      ),
      found.unexplained
        ? h("p", { class: "warning" }, "No decay rate brings the model within three standard deviations of this value.")
        : "",
      densities({
        title: "Posterior of the age",
        xLabel: "age, yr",
        log: true,
        x: [Math.max(0.5, found.age.p025 / 3), found.age.p975 * 3],
        curves: [{ ...aloneCurve(found, colour), dash: undefined }],
      }),
      bombChart({
        measured: [layer.year, layer.delta14c, layer.sigma],
        modes: found.modes,
        zone: layer.zone,
        prehistory: layer.prehistory,
        air,
      }),
    );
  };
  compute();
  return [
    h("h2", {}, "How old is it?"),
    h(
      "p",
      { class: "note" },
      `One pool at steady stock, fed by the air of its zone. Prior: log-normal, median ${air.prior[0]} yr, standard deviation ${air.prior[1]} of log k. Computed in your browser with the equations of `,
      h("code", {}, "bayes_rootc.invert"),
      ", from which ages differ by less than 10⁻⁹ of their value. Air: ",
      air.source,
      ".",
    ),
    form,
    result,
  ];
}
