// Every data table is reachable without this script; it only opens or closes them all at once.
const all = [...document.querySelectorAll("details")];
const button = document.createElement("button");
button.type = "button";
button.textContent = "Open all data tables";
button.addEventListener("click", () => {
  const open = !all.every((one) => one.open);
  all.forEach((one) => { one.open = open; });
  button.textContent = open ? "Close all data tables" : "Open all data tables";
});
document.querySelector("nav").append(button);
