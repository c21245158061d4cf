// SPDX-License-Identifier: Apache-2.0
// The labelled rows of an imaginary workshop with a store: 20 intents of a trade that no public set
// has, 600 rows, written for the tests of `sluice train`. Each intent has 15 sentences of its own
// wording, each filled in twice. The last three sentences of an intent are held out whole, so a
// model cannot be right by remembering a sentence with another number in it.
//
//   node tests/support/workshop.mjs > workshop.jsonl
import { fileURLToPath } from 'node:url';

const fillers = {
  bay: ['two', 'seven', 'four', 'nine', 'three', 'eleven'],
  part: ['hex bolts', 'ball bearings', 'brake pads', 'oil filters', 'copper pipe', 'gaskets', 'drill bits',
    'wing nuts', 'v belts', 'shelf brackets'],
  machine: ['the lathe', 'the band saw', 'press three', 'the laser cutter', 'conveyor b', 'the compressor',
    'the paint booth', 'the milling machine'],
  order: ['4471', '90215', '1083', '77640', '5529', '31207'],
  worker: ['marta', 'yusuf', 'chen', 'olga', 'pieter', 'amina'],
  hours: ['three', 'six and a half', 'eight', 'two', 'four', 'five and a quarter'],
  place: ['hall two', 'the loading dock', 'the back room', 'aisle nine', 'the weld shop', 'the yard'],
  degrees: ['eighteen', 'twenty one', 'sixteen', 'nineteen', 'twenty three', 'fifteen'],
};

const intents = {
  open_door: ['open bay {bay}', 'could you roll up the door at bay {bay}', 'the truck at bay {bay} needs to get in',
    'let the driver in through gate {bay}', 'raise shutter {bay} please', 'i need gate {bay} up right now',
    'delivery is waiting outside {bay}, open up', 'unlock the roller door of bay {bay}',
    'get the dock door {bay} open for me', 'shutter {bay} should be open for unloading',
    'lift the gate at number {bay}', 'we are unloading at {bay} so open it',
    'a van is standing before bay {bay}, let it in', 'door {bay} up', 'please have gate {bay} opened'],
  close_door: ['close bay {bay}', 'it is getting cold, shut the door at bay {bay}', 'bring shutter {bay} down',
    'gate {bay} can be closed again', 'lower the roller door of bay {bay}', 'the truck has left bay {bay}, shut it',
    'lock up dock door {bay}', 'make sure bay {bay} is closed', 'we are done at {bay}, close the gate',
    'please pull down shutter {bay}', 'why is {bay} still open, close it', 'shut gate number {bay} behind the van',
    'door {bay} down', 'seal bay {bay} for the night', 'unloading is finished, close up {bay}'],
  stock_level: ['how many {part} do we have', 'what is the stock of {part}', 'are there any {part} left',
    'check the count on {part}', 'do we still have enough {part} for tomorrow', 'tell me the inventory for {part}',
    'are we running low on {part}', 'quantity on hand of {part}', 'how full is the bin of {part}',
    'give me the number of {part} in store', 'look up what is left of the {part}', 'is there a box of {part} in stock',
    'have we run out of {part}', '{part}, how many remain', 'stock count for {part} please'],
  reorder_part: ['order more {part}', 'we need a new batch of {part}', 'buy another case of {part}',
    'put {part} on the purchase list', 'send the supplier an order for {part}', 'restock the {part}',
    'get fifty {part} from the vendor', 'the {part} are used up, order some', 'place a purchase order for {part}',
    'request a delivery of {part} from the wholesaler', 'refill our supply of {part}', 'can you reorder {part} today',
    'have the supplier send us {part}', 'purchase {part} again', 'add {part} to what we buy this week'],
  locate_part: ['where do you keep the {part}', 'which shelf has {part}', 'find the {part} for me',
    'i cannot find any {part}', 'what aisle are the {part} in', 'point me to the {part}',
    'in which drawer would i find {part}', 'location of the {part}', 'tell me the rack number for {part}',
    'whereabouts are the {part} stored', 'show me where the {part} are', 'looking for {part}, which bin',
    'where did someone put the {part}', 'on what rack do the {part} lie', 'help me find {part} in the store'],
  report_damage: ['a crate of {part} arrived broken', 'the {part} in this box are bent',
    'i want to report damaged {part}', 'these {part} are cracked', 'someone dropped the pallet with {part}',
    'the packaging of the {part} is torn and wet', 'log a damage claim for the {part}', 'half of the {part} are scratched',
    'we got {part} with rust on them', 'note that the {part} came in pieces', 'the new {part} are defective',
    'water got into the {part}', 'the {part} are smashed, write it down', 'file a complaint about ruined {part}',
    'this lot of {part} is faulty'],
  machine_status: ['is {machine} running', 'what is {machine} doing', 'status of {machine}',
    'how is {machine} getting on', 'did {machine} finish its job', 'any errors on {machine}',
    'show the state of {machine}', 'is {machine} idle at the moment', 'how long until {machine} is done',
    'tell me whether {machine} is free', 'what does the display of {machine} say', 'is somebody using {machine}',
    'is {machine} still busy', 'give me a readout of {machine}', 'does {machine} report a fault'],
  stop_machine: ['stop {machine}', 'shut {machine} down now', 'turn off {machine}', 'halt {machine} immediately',
    'kill the power to {machine}', 'emergency stop on {machine}', 'pause {machine} until i am back',
    '{machine} must not run any longer', 'cut {machine} off', 'bring {machine} to a standstill',
    'switch off {machine} for today', 'end the run on {machine}', 'make {machine} stop at once',
    'power down {machine}', '{machine} off'],
  start_machine: ['start {machine}', 'fire up {machine}', 'turn on {machine}', 'get {machine} going again',
    'switch {machine} on please', 'begin the run on {machine}', 'power up {machine} for the morning shift',
    'bring {machine} back online', 'warm up {machine}', 'resume {machine}', 'let {machine} run',
    'we are ready, set {machine} in motion', 'boot {machine}', 'put {machine} into operation', '{machine} on'],
  log_hours: ['log {hours} hours for me', 'i worked {hours} hours today', 'book {hours} hours on this job',
    'put down {hours} hours of overtime', 'add {hours} hours to my time sheet', 'my shift was {hours} hours long',
    'record {hours} hours of assembly', 'enter {hours} hours for yesterday', 'note {hours} hours on my card',
    'charge {hours} hours to the customer', 'i spent {hours} hours on repairs', 'please register {hours} working hours',
    'time sheet: {hours} hours', 'clock {hours} hours for the night shift', 'that took me {hours} hours, write it down'],
  request_forklift: ['i need a forklift at {place}', 'send a lift truck to {place}', 'get a forklift driver over to {place}',
    'can someone with a forklift come to {place}', 'pallet to be moved in {place}',
    'heavy load at {place}, bring the stacker', 'we are waiting for the forklift in {place}',
    'call a forklift to {place}', 'is a pallet truck free for {place}', 'bring the reach truck to {place}',
    'somebody has to lift these crates in {place}', 'forklift wanted at {place}',
    'have the stacker driver come by {place}', 'these pallets in {place} are too heavy for us',
    'could a lift truck help out at {place}'],
  schedule_maintenance: ['plan maintenance for {machine}', '{machine} is due for service next week',
    'book a technician for {machine}', 'when can someone service {machine}', '{machine} needs an oil change on monday',
    'set up an inspection of {machine}', 'put {machine} on the maintenance calendar',
    'arrange a check up for {machine}', 'have {machine} overhauled this month', 'schedule repairs on {machine}',
    'we should get {machine} serviced on friday', 'reserve a slot to grease {machine}',
    'make an appointment for the upkeep of {machine}', 'the yearly inspection of {machine} has to be planned',
    'a mechanic should look after {machine} tomorrow'],
  print_label: ['print a label for order {order}', 'i need the shipping label of {order}',
    'make a new sticker for parcel {order}', 'the barcode of {order} is missing, print it',
    'run off a tag for {order}', 'reprint label {order}', 'get me the address label for {order}',
    'two copies of the label for {order}', 'send {order} to the label printer', 'a fresh bar code for {order} please',
    'produce the packing slip of {order}', 'label {order} is unreadable, make another one',
    'stick a new tag on {order}, print one', 'output the delivery note of {order}', 'print out {order} for the box'],
  order_status: ['where is order {order}', 'has {order} been shipped', 'what is the status of order {order}',
    'is {order} ready to go', 'when does {order} leave the house', 'did the customer get {order} yet',
    'track shipment {order}', 'how far along is order {order}', 'is {order} packed already',
    'tell me about the progress of {order}', 'check on order number {order}', 'has anyone picked {order}',
    'is order {order} late', 'what is holding up {order}', 'any news on {order}'],
  assign_task: ['give this job to {worker}', 'let {worker} do the packing', 'put {worker} on assembly',
    'assign the next order to {worker}', 'tell {worker} to sweep the floor', '{worker} should take over the welding',
    'send {worker} to the paint shop', 'have {worker} unload the van', 'can {worker} handle the returns',
    'make {worker} responsible for the inventory', 'schedule {worker} for quality control',
    'hand the repair over to {worker}', 'i want {worker} to count the bins', '{worker} is to clean the booth',
    'get {worker} working on the crates'],
  take_break: ['i am going on a break from {place}', 'sign me out for lunch, i am in {place}',
    'pause for the team in {place}', 'coffee time in {place}', 'we stop for lunch at {place} now',
    'fifteen minutes off for everybody in {place}', 'when is the next break in {place}',
    'the crew of {place} takes a rest', 'put {place} on break', 'start the lunch break for {place}',
    'how long is the pause at {place}', 'we in {place} are having our tea', 'break for {place} please',
    'time for a breather in {place}', 'let the people in {place} have their lunch'],
  safety_incident: ['someone got hurt in {place}', 'there was an accident at {place}', 'first aid to {place} quickly',
    'a man slipped and fell in {place}', 'i smell gas in {place}', 'smoke is coming from {place}',
    'we have a spill of acid in {place}', 'report an injury in {place}', 'a shelf collapsed at {place}',
    'somebody cut his hand in {place}', 'there is a fire in {place}', 'dangerous wires hang down in {place}',
    'a colleague is bleeding in {place}', 'chemicals leak out in {place}', 'a near miss with a truck at {place}'],
  set_heating: ['set the heating to {degrees} degrees', 'make it {degrees} degrees in here',
    'it is freezing, turn the heat up to {degrees}', 'thermostat to {degrees}', 'i would like {degrees} degrees in the hall',
    'warm the office to {degrees}', 'lower the temperature to {degrees} degrees', 'keep the store at {degrees} degrees',
    'too hot here, go down to {degrees}', 'heat the workshop to {degrees} by seven', 'change the room temperature to {degrees}',
    'radiators at {degrees} degrees please', 'we want a temperature of {degrees}', 'adjust the climate to {degrees}',
    'it should be {degrees} degrees when we come in'],
  switch_lights: ['lights on in {place}', 'turn off the lamps in {place}', 'it is too dark in {place}',
    'switch the lighting in {place}', 'put the light on at {place}', 'nobody is in {place}, lights out',
    'dim the lamps of {place}', 'i cannot see a thing in {place}', 'make {place} brighter',
    'leave the lights on in {place} tonight', 'kill the lights in {place}', 'illuminate {place}',
    'the lamps at {place} can go off', 'some more light in {place} please', 'darken {place}'],
  call_supervisor: ['get the foreman to {place}', 'i have to talk to the shift leader in {place}',
    'call the supervisor over to {place}', 'can the boss come to {place}', 'page the manager for {place}',
    'who is in charge of {place} today', 'the foreman is wanted in {place}', 'ask the team lead to stop by {place}',
    'i need someone who decides here in {place}', 'tell the supervisor that {place} is waiting',
    'ring the chief, we are in {place}', 'the customer wants to see the manager at {place}',
    'have the shift leader paged to {place}', 'is the boss anywhere near {place}', 'bring the person in charge to {place}'],
};

const heldOut = 3; // of the sentences of an intent

// The rows, always the same: sentence i of an intent takes fillers i and i + half the list.
export function workshopRows() {
  const rows = [];
  for (const [label, sentences] of Object.entries(intents)) {
    sentences.forEach((sentence, i) => {
      const [, slot] = /\{(\w+)\}/.exec(sentence);
      const values = fillers[slot];
      for (const k of [0, 1]) {
        const value = values[(i + k * Math.floor(values.length / 2)) % values.length];
        rows.push({
          task: 'intent', text: sentence.replace(`{${slot}}`, value), label,
          slots: [{ slot, value }],
          split: i < sentences.length - heldOut ? 'train' : 'val',
        });
      }
    });
  }
  return rows;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const row of workshopRows()) process.stdout.write(`${JSON.stringify(row)}\n`);
