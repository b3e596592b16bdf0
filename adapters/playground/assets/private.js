// A response for this reader alone: words, buttons, a form or a file, in a card at the end of the conversation.
// Pure building of elements; what is sent is app.js's.

const make = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

let number = 0; // of fields: labels need ids

// The card of a response. `send(id, values)` sends a pressed button or a form, and `close` takes the card away.
export function card(event, command, { send, close }) {
  const dismiss = make("button", { type: "button", className: "small", textContent: "Close", onclick: close });
  dismiss.setAttribute("aria-label", "Close this private response");
  const header = make("header", {}, make("span", { className: "context", textContent: "Only you see this" }), dismiss);
  if (command) header.prepend(make("span", { className: "author", textContent: command }));
  const body = make("div", { className: "body", innerHTML: event.html });
  const section = make("section", { className: "private" }, header, body);
  section.setAttribute("aria-label", "Private response");
  section.tabIndex = -1;
  if (event.file) body.append(link(event.file));
  if (event.form) section.append(formOf(event.form, send));
  if (event.actions.length) section.append(buttons(event.actions, send));
  return section;
}

function link({ name, data }) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const href = URL.createObjectURL(new Blob([bytes]));
  return make("p", {}, make("a", { href, download: name, textContent: `Save ${name}` }));
}

function buttons(actions, send) {
  const row = make("div", { className: "actions" });
  row.append(...actions.map((action) => button(action, row, send)));
  return row;
}

function button(action, row, send) {
  const className = action.danger ? "small stop" : "small";
  const node = make("button", { type: "button", className, textContent: action.label });
  node.onclick = () => {
    if (action.confirm) ask(action, row, send);
    else node.disabled = send(action.id, {});
  };
  return node;
}

// A question in place of the buttons, since nothing can be taken back.
function ask(action, row, send) {
  const before = [...row.childNodes];
  const yes = make("button", { type: "button", className: "small stop", textContent: action.label });
  yes.onclick = () => {
    yes.disabled = send(action.id, {});
  };
  const no = make("button", { type: "button", className: "small", textContent: "Cancel" });
  no.onclick = () => {
    row.replaceChildren(...before);
    before[0].focus();
  };
  row.replaceChildren(make("p", { textContent: action.confirm }), yes, no);
  no.focus();
}

function formOf(form, send) {
  const node = make("form", { autocomplete: "off" });
  node.setAttribute("aria-label", form.title);
  if (form.intro) node.append(make("p", { textContent: form.intro }));
  node.append(...form.fields.map(field));
  node.append(make("button", { type: "submit", className: "small", textContent: form.submit }));
  node.onsubmit = (event) => {
    event.preventDefault();
    send(form.id, Object.fromEntries(new FormData(node)));
  };
  return node;
}

function field({ name, label, value, choices, required, multiline, limit }) {
  number += 1;
  const id = `field-${number}`;
  let input;
  if (choices.length) {
    input = make("select", {}, ...choices.map(([key, words]) => make("option", { value: key, textContent: words })));
  } else {
    input = make(multiline ? "textarea" : "input", { maxLength: limit });
    if (multiline) input.rows = 3;
  }
  Object.assign(input, { id, name, required, value });
  return make("div", { className: "field" }, make("label", { htmlFor: id, textContent: label }), input);
}
